"""Is the package what its metadata says? Built, checked, installed with its lowest and its newest versions, tested there.

    python -m tools.release              everything; `make release-check`
    python -m tools.release lowest       build and check, and only this environment

torch is not installed into the environments: they see the one of this Python, whose version the lock pins, because builds of torch are
chosen by machine.
"""

from __future__ import annotations

import contextlib
import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Iterable
from email.message import Message
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
ENDS = ("lowest", "newest")
TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "beartype", "pyyaml")
"""What the fast tests need beside the package; as locked."""
BESIDE = (
    "tests",
    "benchmarks",
    "tools",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "LOG.md",
    "pyproject.toml",
    "Makefile",
    "replication",
)
"""What tests read, from the source distribution. The package itself is deleted there: the installed one is tested."""


def say(text: str) -> None:
    """A line about what is being done, in its order."""
    print(text, flush=True)


def run(*command: str | Path, **options: object) -> None:
    """A command that has to succeed."""
    subprocess.run([str(word) for word in command], check=True, **options)  # type: ignore[call-overload]


def built(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source distribution, checked."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, stdout=subprocess.DEVNULL)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "groklab").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    if not here <= names or "groklab/py.typed" not in names:
        raise SystemExit(f"the wheel lacks {sorted(here - names)}")
    version = metadata_of(wheel)["Version"]
    if f'__version__ = "{version}"' not in (ROOT / "groklab" / "version.py").read_text(encoding="utf-8"):
        raise SystemExit(f"the wheel is version {version}, groklab/version.py is not")
    say(f"built: {wheel.name} ({wheel.stat().st_size / 1000:,.0f} kB), {source.name} ({source.stat().st_size / 1000:,.0f} kB)")
    return wheel, source


def metadata_of(wheel: Path) -> Message:
    """What the wheel says of itself."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


def required(wheel: Path, extra: str = "") -> list[Requirement]:
    """What the package needs, or what an extra adds."""
    found = [Requirement(text) for text in metadata_of(wheel).get_all("Requires-Dist", [])]
    return [one for one in found if (one.marker.evaluate({"extra": extra}) and bool(extra) if one.marker else not extra)]


def lowest(requirements: Iterable[Requirement]) -> list[str]:
    """Pins to the lower bounds; AssertionError where one has none."""
    pins: list[str] = []
    for one in requirements:
        bounds = [part.version for part in one.specifier if part.operator in (">=", "~=", "==")]
        assert len(bounds) == 1, f"{one}: expected one lower bound"
        pins.append(f"{one.name}=={bounds[0]}")
    return pins


def locked(name: str) -> str:
    """A package as requirements.lock pins it."""
    found = re.search(rf"(?mi)^{re.escape(name)}==\S+$", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert found is not None, f"{name} is not in requirements.lock"
    return found[0]


def environment(folder: Path) -> Path:
    """An empty environment that sees this Python's torch and nothing else of it; its Python."""
    venv.create(folder, with_pip=True, symlinks=True)
    packages = next((folder / "lib").glob("python*")) / "site-packages"
    for one in torch_and_drivers():
        for name in {str(file).split("/")[0] for file in one.files or ()} - {"..", "__pycache__"}:
            place = Path(str(one.locate_file(name)))
            if place.exists() and not (packages / name).exists():
                (packages / name).symlink_to(place)
    return folder / "bin" / "python"


def torch_and_drivers() -> list[Distribution]:
    """torch, and where it is a build for GPUs the libraries that it cannot be imported without."""
    found, wanted = dict[str, Distribution](), ["torch"]
    while wanted:
        name = wanted.pop()
        if name not in found:
            with contextlib.suppress(PackageNotFoundError):
                found[name] = distribution(name)
                wanted += [one for one in map(name_of, found[name].requires or ()) if is_driver(one)]
    return list(found.values())


def name_of(requirement: str) -> str:
    """The package that a requirement is for."""
    return Requirement(requirement).name


def is_driver(name: str) -> bool:
    """Whether a package that torch needs belongs to the build that was chosen for the machine."""
    return name.startswith(("nvidia", "triton", "cuda"))


def install(python: Path, *what: str) -> None:
    """Install into an environment."""
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def tested(end: str, wheel: Path, source: Path, folder: Path) -> None:
    """The fast tests against the installed wheel, from outside the checkout, with one end of the versions that it allows."""
    python = environment(folder / end)
    needs = [one for one in required(wheel) if one.name != "torch"]
    began = time.monotonic()
    of_torch = [re.split(r"[;\[]", text)[0].strip() for text in distribution("torch").requires or () if "extra ==" not in text]
    install(python, *(text for text in of_torch if not is_driver(name_of(text))))
    install(python, *(lowest(needs) if end == "lowest" else map(str, needs)), *map(locked, TEST_TOOLS))
    install(python, "--no-deps", str(wheel))
    run(python, "-m", "pip", "check", "--disable-pip-version-check", stdout=subprocess.DEVNULL) if end == "newest" else None
    place = unpacked(source, folder / f"{end}-tests")
    run(python, "-P", "-c", f"import groklab, sys; sys.exit({str(ROOT)!r} in groklab.__file__)", cwd=place)
    say(f"{end}: installed in {time.monotonic() - began:.0f} s; {', '.join(lowest(needs) if end == 'lowest' else versions(python, needs))}")
    # Benchmarks and tools are imported by tests and are no part of the package: only they are found beside it.
    beside = place / "beside"
    beside.mkdir()
    for name in ("benchmarks", "tools"):
        (beside / name).symlink_to(place / name)
    began, variables = time.monotonic(), os.environ | {"PYTHONPATH": str(beside), "OMP_NUM_THREADS": "1"}
    # Old libraries may warn of new ones that they use: that is not what is asked here.
    command = [
        python,
        "-P",
        "-m",
        "pytest",
        "-o",
        "filterwarnings=default",
        "-m",
        "not medium and not slow",
        "-n",
        "2",
        place / "tests",
        "-c",
        place / "pyproject.toml",
    ]
    run(*command, "--rootdir", place, cwd=place, env=variables)
    say(f"{end}: tested in {time.monotonic() - began:.0f} s")


def versions(python: Path, needs: Iterable[Requirement]) -> list[str]:
    """What is installed of these."""
    code = "import sys; from importlib.metadata import version; print(*(f'{n}=={version(n)}' for n in sys.argv[1:]))"
    return subprocess.check_output([str(python), "-c", code, *(one.name for one in needs)], text=True, encoding="utf-8").split()


def unpacked(source: Path, folder: Path) -> Path:
    """What the tests read, without the package, which processes that tests start would find first."""
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    (place,) = folder.iterdir()
    for name in BESIDE:
        assert (place / name).exists(), f"the source distribution lacks {name}"
    shutil.rmtree(place / "groklab")
    return place


def extras_resolve(wheel: Path, folder: Path) -> None:
    """Every extra can be installed into an empty environment beside this Python's torch."""
    python = environment(folder / "extras")
    needs = [str(one) for one in required(wheel) if one.name != "torch"]
    for extra in metadata_of(wheel).get_all("Provides-Extra", []):
        more = [f"{one.name}{one.specifier}" for one in required(wheel, extra) if one.name != "groklab"]
        if more:  # otherwise it is made of other extras
            run(python, "-m", "pip", "install", "--quiet", "--dry-run", "--disable-pip-version-check", *needs, *more)
        say(f"extra {extra}: {', '.join(more) or 'made of others'} resolves")


def main(ends: list[str]) -> None:
    """Check what is asked for; everything by default."""
    if unknown := set(ends) - set(ENDS):
        raise SystemExit(f"got {', '.join(sorted(unknown))}; expected {' or '.join(ENDS)}, or nothing for all")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        wheel, source = built(folder / "dist")
        if not ends:
            extras_resolve(wheel, folder)
        for end in ends or ENDS:
            tested(end, wheel, source, folder)
        if not ends:
            shutil.copytree(folder / "dist", ROOT / "dist", dirs_exist_ok=True)
    say("the release is what it says.")


if __name__ == "__main__":
    main(sys.argv[1:])
