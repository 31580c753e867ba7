"""Files from outside: regular ones of bounded size, read; everything else refused at once and in words."""

import json
import os
import socket

import pytest

from groklab.outside.files import DEEPEST, UnreadableError, check_regular, open_regular, parsed_json, read_regular


def test_a_regular_file_is_read_up_to_its_bound_and_not_beyond(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"x" * 1000)
    assert read_regular(file, 1000) == b"x" * 1000
    assert check_regular(file, 1000) == 1000
    with open_regular(file, 1000) as opened:
        assert opened.read(3) == b"xxx"
    with pytest.raises(UnreadableError, match="a: it has 1,000 bytes; at most 999 are read"):
        read_regular(file, 999)


def test_a_link_to_a_regular_file_is_that_file(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b", 100) == b"content"


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    os.mkfifo("pipe")
    os.mkdir("folder")
    os.symlink("loop", "loop")
    os.symlink("pipe", "to_pipe")
    os.symlink("/dev/zero", "to_device")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        for name, words in (
            ("pipe", "a pipe"),
            ("folder", "a folder"),
            ("loop", "a link that leads back to itself"),
            ("to_pipe", "a pipe"),
            ("to_device", "a device"),
            ("/dev/zero", "a device"),
            ("socket", "a socket"),
        ):
            with pytest.raises(UnreadableError, match=f"it is {words}"):
                read_regular(name, 1000)
    with pytest.raises(FileNotFoundError):
        read_regular("missing", 1000)
    with pytest.raises(UnreadableError, match="zero byte"):
        read_regular("a\0b", 1000)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs /proc, whose files have no size")
def test_a_file_of_the_kernel_that_says_it_is_empty_is_read_up_to_the_bound():
    assert os.stat("/proc/self/maps").st_size == 0
    with pytest.raises(UnreadableError, match="more than 100 bytes"):
        read_regular("/proc/self/maps", 100)


def test_json_is_read_as_json_reads_it():
    value = {"a": [1, 2.5, '[{\\"', None], "ä": True}
    assert parsed_json(json.dumps(value, ensure_ascii=False).encode()) == value
    assert parsed_json(b"\xef\xbb\xbf[1]") == [1]
    many = [["[[[[", "\\", '"['] for _ in range(1000)]
    assert parsed_json(json.dumps(many).encode(), deepest=2) == many


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested more than 50 levels"),
        (b"[" * 100_000, "nested more than 50 levels"),
        (b'{"a":' * 100_000, "nested more than 50 levels"),
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe[\x00", "byte 0 is not UTF-8"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"9" * 5000, "4,300 digits"),
    ],
    ids=lambda value: repr(value[:8]) if isinstance(value, bytes) else "",
)
def test_what_is_no_json_of_ours_is_a_value_error(content, words):
    with pytest.raises(ValueError, match=words):
        parsed_json(content)


def test_a_number_of_too_many_digits_is_named_in_plain_words():
    with pytest.raises(ValueError, match="^it holds a whole number of more than 4,300 digits$"):
        parsed_json(b'{"step": ' + b"9" * 10_000 + b"}")
