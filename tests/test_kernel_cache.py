"""Compiled kernels are kept where nobody else can put anything, looked at before they are loaded, and never a reason not to train."""

import contextlib
import errno
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.laboratory.checks import check
from groklab.model import cache, compiled, compiler
from groklab.training.paths import path_of

missing = compiled.why_not("float32")
pytestmark = pytest.mark.skipif(bool(missing), reason=missing or "there is a compiler")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="to act as another user, the tests must run as root")
OTHER = 65534
"""The number of a user who is neither root nor this one."""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The real kernels for float32 as a file, which takes seconds to compile."""
    _, _, name = compiled._work("float32")
    for find in cache.PLACES[:3]:
        with contextlib.suppress(OSError):
            if content := cache.kept(find(), name):
                path = tmp_path_factory.mktemp("real") / "kernels.so"
                path.write_bytes(content)
                return path
    pytest.skip("the compiled kernels could not be kept")


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A library that lacks everything and writes a file, by the name in the variable MARKER, as soon as it is loaded."""
    folder = tmp_path_factory.mktemp("evil")
    text = '#include <stdio.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void run(void) {FILE *f = fopen(getenv("MARKER"), "w"); if (f) fclose(f);}\n'
    (folder / "evil.c").write_text(text, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "evil.so", folder / "evil.c"], check=True)
    return folder / "evil.so"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path, real):
    """What a process knows is forgotten, and all folders are the test's own; the compiler hands out the real kernels at once."""
    monkeypatch.setattr(compiled, "_known", {})
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("GROKLAB_CACHE", "XDG_CACHE_HOME", cache.INHERITED):
        monkeypatch.setenv(name, "")
    for name in ("HOME", "TMPDIR"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("MARKER", str(tmp_path / "marker"))
    compiler_that(tmp_path, monkeypatch, f'echo once >> "{tmp_path}/compiled"; cp "{real}" "$target"')


def compiler_that(folder, monkeypatch, compiles, answers="echo a compiler for tests"):
    """CC is a script that does this in place of compiling to ``$target``, and that when it is asked for its version."""
    path = folder / "compiler"
    find = 'for word in "$@"; do [ "$before" = -o ] && target="$word"; before="$word"; done'
    path.write_text(
        f'#!/bin/sh\nfor last in "$@"; do :; done\nif [ "$last" = --version ]; then\n{answers}\nexit\nfi\n{find}\n{compiles}\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    monkeypatch.setenv("CC", f"'{path}'")


def times_compiled(folder):
    path = folder / "compiled"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def asked_afresh():
    """Why there are no kernels, as a new process finds it."""
    compiled._known.clear()
    return compiled.why_not("float32")


def modes(folder):
    return {stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}


def kept_in(folder):
    return sorted(path for path in folder.rglob("kernels-*.so") if path.is_file())


@contextlib.contextmanager
def masked(mask):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def acting_as(user):
    """This process with another user's rights to files."""
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)


# — damage —


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_kernels_are_kept_with_size_and_hash_for_this_user_alone(tmp_path, monkeypatch, real, mask):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "a" / "b"))
    with masked(mask):
        assert [asked_afresh() for _ in range(3)] == [""] * 3
    assert times_compiled(tmp_path) == 1
    library, record = sorted((tmp_path / "a" / "b").iterdir())
    assert library.read_bytes() == real.read_bytes()
    assert record.name == f"{library.name}.sha256"
    assert re.fullmatch(rf"[0-9a-f]{{64}} {real.stat().st_size}\n", record.read_text(encoding="utf-8"))
    assert modes(tmp_path / "a" / "b") == {0o600}
    assert modes(tmp_path / "a") == {0o700}


def test_the_functions_that_a_library_must_have_are_those_of_the_source():
    text = "".join(source.read_text(encoding="utf-8") for source in compiled.SOURCES)
    assert set(re.findall(r"^(?:void|count) (?!cblas_)(\w+)\(", text, re.MULTILINE)) == set(compiled.FUNCTIONS)


CUT = """
import os, sys
from groklab.model import compiled
kept, whole = sys.argv[1], open(sys.argv[1], "rb").read()
for length in map(int, sys.argv[2:]):
    os.truncate(kept, length)
    compiled._known.clear()
    why = compiled.why_not("float32")
    print(length, why == "" and open(kept, "rb").read() == whole)
"""


def test_a_library_cut_off_anywhere_is_made_again(tmp_path, monkeypatch, real):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    assert asked_afresh() == ""
    (kept,) = kept_in(tmp_path)
    size = real.stat().st_size
    lengths = sorted({0, 1, 63, 64, 4095, 4096, 4097, 5000, 20_000, 40_000, size - 1, size - 4096, *range(9, size, size // 12)})
    assert len(lengths) >= 20
    done = subprocess.run(
        [sys.executable, "-c", CUT, kept, *map(str, lengths)], capture_output=True, text=True, timeout=300, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{length} True" for length in lengths]
    assert times_compiled(tmp_path) == 1 + len(lengths)


def with_record(path, content):
    """A file with the record that belongs to it, as a clumsy or a clever hand would leave it."""
    path.write_bytes(content)
    path.with_name(f"{path.name}.sha256").write_bytes(cache._record(content))


def one_byte_wrong(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replaced(make):
    def damage(path):
        path.unlink()
        make(path)

    return damage


def a_folder_with_something(path):
    path.mkdir()
    (path / "thesis.txt").write_text("mine", encoding="utf-8")


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "no library": lambda path: path.write_bytes(b"not a library"),
    "one bit": one_byte_wrong,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "a folder": replaced(Path.mkdir),
    "a full folder": replaced(a_folder_with_something),
    "a pipe": replaced(os.mkfifo),
    "a link to a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a link to itself": replaced(lambda path: path.symlink_to(path.name)),
    "a link to another file": lambda path: path.symlink_to(path.rename(path.with_name("elsewhere"))),
    "gone": Path.unlink,
    "open to all": lambda path: path.chmod(0o666),
    "open to the group": lambda path: path.chmod(0o660),
    "not to be read": lambda path: path.chmod(0),
    "huge": lambda path: os.truncate(path, 1 << 40),
}


@pytest.mark.parametrize("which", ["library", "record"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_made_again(tmp_path, monkeypatch, real, damage, which):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    assert asked_afresh() == ""
    (kept,) = kept_in(tmp_path)
    DAMAGE[damage](kept if which == "library" else kept.with_name(f"{kept.name}.sha256"))
    assert [asked_afresh() for _ in range(3)] == [""] * 3
    assert times_compiled(tmp_path) == (1 if damage == "not to be read" and os.geteuid() == 0 else 2)
    assert cache.kept(kept.parent, kept.name) == real.read_bytes()
    if "full" in damage:
        assert [path.read_text(encoding="utf-8") for path in kept.parent.rglob("thesis.txt")] == ["mine"]


def test_a_kept_library_of_something_else_is_made_again(tmp_path, monkeypatch, real, evil):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    assert asked_afresh() == ""
    (kept,) = kept_in(tmp_path)
    other_processor = bytearray(real.read_bytes())
    other_processor[18:20] = b"\xff\x00"  # the machine in the header of a library on Linux
    for content in (b"", b"text", bytes(other_processor), evil.read_bytes()):  # the last one lacks all functions
        with_record(kept, content)
        assert asked_afresh() == ""
        assert kept.read_bytes() == real.read_bytes()


def test_what_a_killed_process_left_is_taken_away(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir(0o700)
    left = [folder / ".1.0.part", folder / ".making-0", folder / ".2.0.part"]
    left[0].write_text("", encoding="utf-8")
    left[1].mkdir()
    (left[1] / "kernels.so").write_text("", encoding="utf-8")
    left[2].write_text("", encoding="utf-8")
    for path in left[:2]:
        os.utime(path, (time.time() - 2 * cache.LEFT_BEHIND,) * 2)
    monkeypatch.setenv("GROKLAB_CACHE", str(folder))
    assert asked_afresh() == ""
    assert [path.exists() for path in left] == [False, False, True]


TOGETHER = "import sys; sys.stdin.read(1); from groklab.model import compiled; print(repr(compiled.why_not('float32')))"


def test_processes_that_compile_at_the_same_moment_do_not_disturb_each_other(tmp_path, monkeypatch, real):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    compiler_that(tmp_path, monkeypatch, f'echo once >> "{tmp_path}/compiled"; sleep 0.5; cp "{real}" "$target"')
    words = [sys.executable, "-c", TOGETHER]
    processes = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") for _ in range(3)]
    for process in processes:
        process.stdin.write("x")
        process.stdin.flush()
    assert [process.communicate(timeout=300)[0] for process in processes] == ["''\n"] * 3
    assert len(list((tmp_path / "cache").iterdir())) == 2
    before = times_compiled(tmp_path)
    assert asked_afresh() == ""
    assert times_compiled(tmp_path) == before


# — folders —


def test_a_name_of_the_home_folder_is_read_as_such(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GROKLAB_CACHE", "~/zz")
    assert asked_afresh() == ""
    assert len(kept_in(tmp_path / "home" / "zz")) == 1
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("name", ["relative", "with\na line", "with $(touch x) `y`", "\udcff", "ü" * 80, " a "])
def test_any_name_that_a_folder_can_have_will_do(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name.encode("utf-8", "surrogateescape"))  # as the environment has it where file names are not UTF-8
    monkeypatch.setenv("GROKLAB_CACHE", name)
    assert asked_afresh() == ""
    assert len(kept_in(tmp_path / name)) == 1
    assert compiled.remark() == ""


@pytest.mark.parametrize(
    ("environment", "inside"),
    [
        ({}, "home/.cache/groklab"),
        ({"GROKLAB_CACHE": "  "}, "home/.cache/groklab"),
        ({"XDG_CACHE_HOME": "relative"}, "home/.cache/groklab"),
        ({"XDG_CACHE_HOME": "{}/xdg"}, "xdg/groklab"),
        ({"HOME": "{}/nowhere"}, f"tmpdir/groklab-{os.geteuid()}"),
    ],
)
def test_where_kernels_are_kept(tmp_path, monkeypatch, environment, inside):
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    assert asked_afresh() == ""
    assert [path.parent for path in kept_in(tmp_path)] == [tmp_path / inside]


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_home_folder_the_list_of_users_is_asked(tmp_path, monkeypatch, home):
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    import pwd

    class User:
        pw_dir = str(tmp_path / "home")

    monkeypatch.setattr(pwd, "getpwuid", lambda number: User)
    assert asked_afresh() == ""
    assert [path.parent for path in kept_in(tmp_path)] == [tmp_path / "home" / ".cache" / "groklab"]

    def nobody(number):
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert asked_afresh() == ""
    assert len(kept_in(tmp_path / "tmpdir")) == 1


def a_file(path):
    path.write_text("mine", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (a_file, "is a file, not a folder"),
        (os.mkfifo, "is a file, not a folder"),
        (lambda path: path.symlink_to(path), "is a loop of links"),
        (lambda path: path.symlink_to("/dev/null"), "is a file, not a folder"),
        (lambda path: path.mkdir() or path.chmod(0o777), "other users can write to"),
        (lambda path: path.mkdir() or path.chmod(0o770), "other users can write to"),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_not_used_and_that_is_said(tmp_path, monkeypatch, make, told):
    make(tmp_path / "cache")
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    assert asked_afresh() == ""
    assert told in compiled.remark()
    assert [path.parent for path in kept_in(tmp_path)] == [tmp_path / "tmpdir" / f"groklab-{os.geteuid()}"]
    assert modes(tmp_path / "tmpdir") == {0o700}


@pytest.mark.parametrize("name", ["/proc/nowhere", "/dev/null/cache", "/proc/self/fd", "~nobody-of-this-name/cache", "x" * 300])
def test_a_folder_that_cannot_be_made_is_not_used_and_that_is_said(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(name.encode("utf-8", "surrogateescape"))  # as the environment has it where file names are not UTF-8
    monkeypatch.setenv("GROKLAB_CACHE", name)
    assert asked_afresh() == ""
    assert compiled.remark().startswith("kept elsewhere than asked: ")
    assert [path.parent.parent for path in kept_in(tmp_path)] == [tmp_path / "tmpdir"]


def test_a_step_on_the_way_that_others_could_exchange_is_found(tmp_path):
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(cache.UnsafeError, match="other users can write to"):
        cache.checked(tmp_path / "open" / "mine")
    (tmp_path / "open").chmod(0o1777)
    assert cache.checked(tmp_path / "open" / "mine") == (tmp_path / "open" / "mine").resolve()
    (tmp_path / "link").symlink_to("open/mine/..")
    assert cache.checked(tmp_path / "link" / "new") == (tmp_path / "open" / "new").resolve()


def test_no_folder_at_all_is_a_reason_to_take_the_batched_path(tmp_path, monkeypatch):
    (tmp_path / "tmpdir").chmod(0o777)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    assert asked_afresh().startswith(
        "no folder was found in which compiled kernels can be kept for this user alone (other users can write to '"
    )
    assert path_of(Run(), "cpu").name == "batched"
    assert times_compiled(tmp_path) == 0


def test_a_full_disk_is_a_reason_to_take_the_next_folder(tmp_path, monkeypatch, real):
    def no_room(folder):
        if tmp_path / "full" in folder.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "check_room", no_room)
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "full"))
    compiler_that(tmp_path, monkeypatch, f'case "$target" in */full/*) echo error: no room; exit 1;; esac; cp "{real}" "$target"')
    assert asked_afresh() == ""
    assert "No space left on device" in compiled.remark()
    assert [path.parent.parent for path in kept_in(tmp_path)] == [tmp_path / "tmpdir"]
    assert list((tmp_path / "full").iterdir()) == []


def test_where_nothing_can_be_written_training_goes_on(tmp_path, real):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # as a quota: files of more bytes cannot be written
    try:
        why = asked_afresh()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "File too large" in why
    assert kept_in(tmp_path) == []


def test_kernels_that_cannot_be_copied_are_loaded_from_where_they_lie(tmp_path, monkeypatch):
    assert asked_afresh() == ""

    @contextlib.contextmanager
    def read_only(folder, content, *, flush=False):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        yield

    monkeypatch.setattr(cache, "copied", read_only)
    assert asked_afresh() == ""
    assert times_compiled(tmp_path) == 1


HANDED_ON = """
import subprocess, sys
from groklab.model import compiled
words = [sys.executable, "-c", "from groklab.model import compiled; print(repr(compiled.why_not('float32')))"]
print(repr(compiled.why_not("float32")), compiled.cache.inherited(), subprocess.run(words, capture_output=True, text=True).stdout)
"""


def test_processes_share_the_folder_that_their_parent_had_to_make(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    (tmp_path / "tmpdir" / f"groklab-{os.geteuid()}").write_text("somebody was here first", encoding="utf-8")
    (tmp_path / "tmpdir" / f"groklab-{os.geteuid()}-999999999-left").mkdir(0o700)  # by a process that is no more
    done = subprocess.run([sys.executable, "-c", HANDED_ON], capture_output=True, text=True, timeout=300, encoding="utf-8")
    assert done.stderr == ""
    here, folder, there = done.stdout.split()
    assert (here, there) == ("''", "''")
    assert Path(folder).parent == tmp_path / "tmpdir"
    assert times_compiled(tmp_path) == 1
    assert [path.name for path in (tmp_path / "tmpdir").iterdir()] == [f"groklab-{os.geteuid()}"]  # all gone with their processes


# — other users —


@pytest.fixture
def shared():
    """A folder that every user can reach, as those of a test are not."""
    path = Path(tempfile.mkdtemp(dir="/tmp"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


def planted(evil, folder, user=OTHER, mode=0o755, *, whole=True):
    """Another user makes a folder and puts a library into it under the right name, with the record that belongs to it."""
    name = compiled._work("float32")[2]
    copy = folder.parent / "evil.so"
    if not copy.exists():
        shutil.copy(evil, copy)
        copy.chmod(0o644)
    record = cache._record(evil.read_bytes()).decode().strip()
    make = f'mkdir -p "{folder}"; chmod {mode:o} "{folder}"; ' if whole else ""
    text = f'umask 022; {make}cp "{copy}" "{folder}/{name}"; echo "{record}" > "{folder}/{name}.sha256"'
    subprocess.run(["/bin/sh", "-ec", text], user=user, group=user, extra_groups=[], check=True)
    assert (folder / name).stat().st_uid == user


@needs_root
@pytest.mark.parametrize("place", ["the folder for temporary files", "the folder asked for", "its place in a shared one", "through a link"])
def test_what_another_user_has_put_there_is_never_run(tmp_path, monkeypatch, shared, evil, place):
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    if place == "the folder for temporary files":
        planted(evil, shared / "groklab-0")
        monkeypatch.setenv("TMPDIR", str(shared))
    elif place == "the folder asked for":
        planted(evil, shared / "cache")
        monkeypatch.setenv("GROKLAB_CACHE", str(shared / "cache"))
    elif place == "its place in a shared one":
        planted(evil, shared / "user-0")
        planted(evil, shared, whole=False)
        monkeypatch.setenv("GROKLAB_CACHE", str(shared))
    else:
        mine = tmp_path / "download"  # of root, with something that came from elsewhere
        mine.mkdir()
        name = compiled._work("float32")[2]
        with_record(mine / name, evil.read_bytes())
        subprocess.run(["ln", "-s", mine, shared / "cache"], user=OTHER, group=OTHER, extra_groups=[], check=True)
        monkeypatch.setenv("GROKLAB_CACHE", str(shared / "cache"))
    assert asked_afresh() == ""
    assert not (tmp_path / "marker").exists()
    if "GROKLAB_CACHE" in place or "asked" in place:
        assert "belongs to another user" in compiled.remark()


@needs_root
def test_the_library_of_these_tests_would_tell_that_it_was_run(tmp_path, monkeypatch, evil):
    monkeypatch.setenv("GROKLAB_CACHE", str(tmp_path / "cache"))
    assert asked_afresh() == ""
    (kept,) = kept_in(tmp_path)
    with_record(kept, evil.read_bytes())  # by this user
    assert asked_afresh() == ""
    assert (tmp_path / "marker").exists()


@needs_root
def test_a_file_of_another_user_in_one_s_own_folder_is_never_run(tmp_path, monkeypatch, shared, evil):
    folder = shared / "cache"
    folder.mkdir()
    folder.chmod(0o777)  # for a while
    planted(evil, folder, whole=False)
    folder.chmod(0o755)
    monkeypatch.setenv("GROKLAB_CACHE", str(folder))
    assert asked_afresh() == ""
    assert not (tmp_path / "marker").exists()
    (kept,) = kept_in(folder)
    assert kept.stat().st_uid == 0
    assert compiled.remark() == ""


@needs_root
def test_users_of_one_folder_keep_their_kernels_apart(monkeypatch, shared):
    monkeypatch.setenv("GROKLAB_CACHE", str(shared))
    for user in (0, OTHER, 0, OTHER):
        with acting_as(user):
            folder = cache.asked()
            assert folder == shared / f"user-{user}"
            cache.keep(folder, "kernels", b"mine")
    for user in (0, OTHER):
        with acting_as(user):
            assert cache.kept(shared / f"user-{user}", "kernels") == b"mine"
            assert cache.kept(shared / f"user-{OTHER - user}", "kernels") is None
    with acting_as(OTHER), pytest.raises(PermissionError):
        (shared / "user-0" / "kernels").unlink()


@needs_root
def test_a_folder_that_another_user_keeps_for_himself_is_left_alone(monkeypatch, shared):
    (shared / "cache").mkdir(0o755)
    monkeypatch.setenv("GROKLAB_CACHE", str(shared / "cache"))
    cache.keep(cache.asked(), "kernels", b"mine")
    with acting_as(OTHER), pytest.raises(OSError, match="Permission denied"):
        cache.asked()
    assert cache.kept(shared / "cache", "kernels") == b"mine"


# — compilers —


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ('gcc "', 'no C compiler: CC is gcc ", which is no command (no closing quotation)'),
        ("gcc '\x1b[2J", r"no C compiler: CC is gcc '\x1b[2J, which is no command"),
        ("gcc \\", "which is no command (no escaped character)"),
        ('""', "no C compiler: the empty name was not found"),
        ("/tmp", "no C compiler: /tmp is no program that can be run"),
        ("/etc/passwd -O3", "no C compiler: /etc/passwd is no program that can be run"),
        ("no-such-compiler", "no C compiler: no-such-compiler was not found"),
        ("x" * 5000, "was not found"),
        ("false", "the C compiler false failed: it gave no message"),
        ("yes", "the C compiler yes failed"),
        ("cat", "the C compiler cat failed"),
    ],
)
def test_a_compiler_that_is_none_is_a_reason_in_one_line(monkeypatch, named, told):
    monkeypatch.setenv("CC", named)
    why = asked_afresh()
    assert told in why
    assert why.isprintable()
    assert len(why) < 400
    assert path_of(Run(), "cpu") == ("batched", why)
    with pytest.raises(RunError) as caught:
        check(Run.of(path="compiled"))
    assert f"compiled kernels: they cannot be used: {why}. Name a C compiler" in str(caught.value)
    assert "path: " not in str(caught.value)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", []),
        ("  ", []),
        ("{} -pipe", ["-pipe"]),
        ("'{}' '-DNAME=\"a b\"'", ['-DNAME="a b"']),
        ("env A=b {}", []),
        ("{}\n-pipe", ["-pipe"]),
    ],
)
def test_words_behind_a_compiler_are_passed_on(tmp_path, monkeypatch, real, named, words):
    (tmp_path / "bin").mkdir()
    compiler_that(tmp_path, monkeypatch, f'printf "%s\\n" "$@" > "{tmp_path}/words"; cp "{real}" "$target"')
    (tmp_path / "bin" / "cc").symlink_to(tmp_path / "compiler")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CC", named.format(tmp_path / "compiler"))
    assert asked_afresh() == ""
    told = (tmp_path / "words").read_text(encoding="utf-8").splitlines()
    assert told[: told.index(compiled.FLAGS[0])] == words


@pytest.mark.parametrize("answers", [r"printf '\377\376 gcc \200'", "true", r"printf 'a\0b'"])
def test_a_version_that_is_no_text_will_do(tmp_path, monkeypatch, answers, real):
    compiler_that(tmp_path, monkeypatch, f'cp "{real}" "$target"', answers)
    assert asked_afresh() == ""


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ("sleep 600", "took more than 1 seconds"),
        ("sleep 600 & sleep 600", "took more than 1 seconds"),
        ("trap '' TERM INT; while true; do sleep 600; done", "took more than 1 seconds"),
        ("yes", "printed more than a megabyte"),
        ("head -c 3000000 /dev/zero", "printed more than a megabyte"),
        ("echo error: no licence >&2; exit 3", "failed: error: no licence"),
        (r"printf 'error \033[2J \377\n'; exit 3", r"failed: error \x1b[2J"),
        ("kill -SEGV $$", "failed: it was ended by SIGSEGV"),
    ],
)
def test_a_compiler_that_does_not_answer_is_a_reason(tmp_path, monkeypatch, answers, told):
    monkeypatch.setattr(compiler, "TO_ANSWER", 1.0)
    monkeypatch.setattr(compiled, "version", lambda words: compiler.run([*words, "--version"], "the C compiler x", seconds=1.0))
    compiler_that(tmp_path, monkeypatch, "", answers)
    why = asked_afresh()
    assert told in why
    assert why.isprintable()
    assert path_of(Run(), "cpu").name == "batched"


def test_a_compiler_whose_helper_stays_is_not_waited_for(tmp_path, monkeypatch, real):
    compiler_that(tmp_path, monkeypatch, f'sleep 5 & cp "{real}" "$target"', "sleep 5 & echo here")
    assert asked_afresh() == ""


KILLS = "int f(void) {{return 0;}} __attribute__((constructor)) static void run(void) {{{}}}"


@pytest.mark.parametrize(
    ("compiles", "told"),
    [
        ("true", "left no library"),
        ("echo error: disk on fire; exit 1", "failed: error: disk on fire"),
        (': > "$target"', "what the C compiler made is empty"),
        ('echo text > "$target"', "what was compiled cannot be loaded"),
        ('mkdir "$target"', "what the C compiler made cannot be read"),
        ('mkfifo "$target"', "what the C compiler made cannot be read"),
        ('ln -s /dev/zero "$target"', "what the C compiler made cannot be read"),
        ('truncate -s 1T "$target"', "what the C compiler made cannot be read"),
        ("kill -KILL $$", "failed: it was ended by SIGKILL"),
    ],
)
def test_a_compiler_that_makes_no_library_is_a_reason(tmp_path, monkeypatch, compiles, told):
    compiler_that(tmp_path, monkeypatch, compiles)
    assert told in asked_afresh()
    assert kept_in(tmp_path) == []
    assert list(tmp_path.rglob(".making-*")) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int f(void) {return 0;}", "matmul"),
        ("void matmul(void) {} int embed(void) {return 0;}", "what the C compiler made cannot be used: "),
        ("void matmul(void) {__builtin_trap();}", "what the C compiler made cannot be used: its trial failed: it was ended by SIG"),
        ("#include <signal.h>\nvoid matmul(void) {raise(SIGBUS);}", "its trial failed: it was ended by SIGBUS"),
        ("#include <stdlib.h>\nvoid matmul(void) {exit(3);}", "its trial failed"),
        ("void matmul(void) {for (;;);}", "its trial took more than 1 seconds"),
    ],
)
def test_a_library_that_lacks_functions_or_ends_its_process_is_a_reason(tmp_path, monkeypatch, source, told):
    (tmp_path / "made.c").write_text(source, encoding="utf-8")
    monkeypatch.setattr(compiled, "TO_TRY", 1.0)
    compiler_that(tmp_path, monkeypatch, f'cc -shared -fPIC -o "$target" "{tmp_path}/made.c"')
    why = asked_afresh()
    assert told in why if told != "matmul" else "what the C compiler made cannot be used" in why
    assert path_of(Run(), "cpu").name == "batched"
    assert kept_in(tmp_path) == []


def test_why_there_are_no_kernels_is_found_once(monkeypatch):
    asked = []
    monkeypatch.setenv("CC", "false")
    monkeypatch.setattr(compiled, "compiler", lambda: asked.append(1) or compiler.compiler())
    assert [compiled.why_not("float32") for _ in range(3)] == ["the C compiler false failed: it gave no message"] * 3
    assert asked == [1]
