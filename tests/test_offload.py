"""Offload with no GPU: layers, KV cache and experts on workers over llama.cpp's RPC.

These need a llama-cpp-python that is built with RPC, which `make offload-check` makes; HYCHAT_TEST_RPC names its libraries.
"""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hychat.domain.cancel import CancelToken
from hychat.domain.errors import EngineError
from hychat.domain.generation import GenerationSettings
from hychat.engine.footprint import Footprint, Layout
from hychat.engine.gguf import read_header
from hychat.engine.llama.offload import Offload
from hychat.engine.plan import Wishes
from hychat.engine.process import EngineOptions, EngineProcess
from hychat.engine.prompt.segments import Prompt, Segment
from hychat.engine.protocol import Done, Piece, result_of
from hychat.engine.workers import Endpoint
from tests.engines import starter_path
from tests.logits import logits_of
from tests.middling_models import Middling
from tests.programs import children_of, run_hychat, started
from tests.simulate import simulated
from tests.tiny_models import write_hunyuan_dense, write_hunyuan_moe
from tests.touched import touched
from tests.whole_models import SHAPES, write_whole

pytestmark = pytest.mark.rpc

LIBRARIES = os.environ.get("HYCHAT_TEST_RPC", "")
GREEDY = GenerationSettings(temperature=0.0, seed=1, max_tokens=24)
PROMPT: Prompt = (Segment("The river and the mountain", is_control=False),)


@pytest.fixture(autouse=True)
def build_with_rpc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", LIBRARIES)


@pytest.fixture
def worker() -> Iterator[Endpoint]:
    with running_worker() as (endpoint, _process):
        yield endpoint


@contextmanager
def running_worker() -> Iterator[tuple[Endpoint, "subprocess.Popen[bytes]"]]:
    """`hychat rpc-worker`, once it listens; its computing process is its child."""
    endpoint = Endpoint("127.0.0.1", free_port())
    with started("rpc-worker", "--port", str(endpoint.port), "--threads", "1") as process:
        assert process.stderr is not None
        assert b"A worker at" in process.stderr.readline()
        while not is_listening(endpoint):
            assert process.poll() is None
        yield endpoint, process


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def is_listening(endpoint: Endpoint) -> bool:
    try:
        socket.create_connection(endpoint).close()
    except OSError:
        return False
    return True


@contextmanager
def engine_for(path: Path, *workers: Endpoint, wishes: Wishes | None = None) -> Iterator[EngineProcess]:
    options = EngineOptions(str(path), path.stem, threads=1, wishes=wishes or Wishes(), workers=workers)
    engine = EngineProcess(options)
    try:
        yield engine
    finally:
        engine.close()


def name_of(worker: Endpoint) -> str:
    """Of its device, in the plan and in what llama.cpp tells."""
    return f"RPC0[{worker}]"


def answer(engine: EngineProcess) -> str:
    events = list(engine.stream(PROMPT, GREEDY, CancelToken()))
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Piece))


def bytes_on(engine: EngineProcess, *, worker: bool, use: str) -> int:
    held = engine.places().items()
    return sum(uses.get(use, 0) for memory, uses in held if memory.startswith("RPC") == worker)


def test_a_workers_device_is_listed_with_its_memory(worker: Endpoint) -> None:
    told = run_hychat("gguf", "plan", "starter", "--rpc", str(worker), "--json").json
    machine, device = told["places"]
    assert device["name"] == name_of(worker)
    assert device["free_bytes"] > 1 << 30
    assert (machine["kv_bytes"], told["gpu_layers"]) == (0, 31)


def test_layers_and_the_kv_cache_lie_where_they_are_computed(worker: Endpoint) -> None:
    with engine_for(Path(starter_path()), worker) as engine:
        answer(engine)
        assert bytes_on(engine, worker=True, use="model") > 80_000_000
        assert bytes_on(engine, worker=True, use="KV") > 0
        assert bytes_on(engine, worker=False, use="KV") == 0


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(),
        Wishes(gpu_layers=10),
        Wishes(context_tokens=2_048, kv_type="q8_0"),
        Wishes(context_tokens=4_096, gpu_layers=20, kv_type="f16"),
    ],
    ids=str,
)
def test_what_was_planned_is_what_llama_cpp_took(worker: Endpoint, wishes: Wishes) -> None:
    with engine_for(Path(starter_path()), worker, wishes=wishes) as engine:
        answer(engine)
        header = read_header(starter_path())
        layers = 31 if wishes.gpu_layers is None else wishes.gpu_layers
        context = result_of(engine.open(CancelToken())).context_tokens
        machine, device = Footprint.of(header).places(Layout(context, layers, 0, wishes.kv_type or "f16"), ["RPC0"])
        there = sum(bytes_on(engine, worker=True, use=use) for use in ("model", "KV", "compute"))
        here = sum(
            bytes_on(engine, worker=False, use=use) for use in ("KV", "compute")
        )  # maps overlap; they hold no memory
        assert device.total == pytest.approx(there, rel=0.08)
        assert machine.kv + machine.compute == pytest.approx(here, rel=0.08, abs=1 << 20)


def test_so_many_layers_as_are_wished_go_to_the_worker(worker: Endpoint) -> None:
    with engine_for(Path(starter_path()), worker, wishes=Wishes(gpu_layers=10)) as engine:
        answer(engine)
        on_worker, on_machine = (bytes_on(engine, worker=which, use="KV") for which in (True, False))
        assert on_worker * 21 == pytest.approx(on_machine * 9, rel=0.01)  # 30 layers and the output, which has no cache


@pytest.mark.parametrize("offload", [Offload(99), Offload(1), Offload(99, cpu_expert_layers=1)], ids=str)
@pytest.mark.parametrize("write", [write_hunyuan_dense, write_hunyuan_moe])
def test_logits_are_those_of_the_machine_itself(
    worker: Endpoint, tmp_path: Path, write: Callable[[Path], Path], offload: Offload
) -> None:
    path = write(tmp_path / "tiny.gguf")
    alone = logits_of(path, Offload(), LLAMA_CPP_LIB_PATH=LIBRARIES)
    offloaded = logits_of(path, offload, [str(worker)], LLAMA_CPP_LIB_PATH=LIBRARIES)
    largest = max(map(abs, alone))
    assert max(abs(one - other) for one, other in zip(alone, offloaded, strict=True)) <= 1e-3 * largest


@pytest.mark.parametrize("wishes", [Wishes(), Wishes(gpu_layers=1), Wishes(gpu_layers=2)], ids=str)
def test_what_is_offloaded_answers_as_what_is_not(worker: Endpoint, tmp_path: Path, wishes: Wishes) -> None:
    path = write_hunyuan_dense(tmp_path / "dense.gguf")
    with engine_for(path) as alone, engine_for(path, worker, wishes=wishes) as offloaded:
        assert answer(offloaded) == answer(alone)


def test_experts_are_kept_on_the_machine(worker: Endpoint, tmp_path: Path) -> None:
    path = write_hunyuan_moe(tmp_path / "mixture.gguf")
    whole, sparse = Wishes(cpu_expert_layers=0), Wishes(cpu_expert_layers=2)
    told = []
    for wishes in (whole, sparse):
        with engine_for(path, worker, wishes=wishes) as engine:
            told.append((answer(engine), bytes_on(engine, worker=True, use="model")))
    (first, all_bytes), (second, rest_bytes) = told
    assert first == second
    experts = sum(layer.experts for layer in Footprint.of(read_header(str(path))).layers)
    assert all_bytes - rest_bytes == pytest.approx(experts, rel=0.15)  # told in MiB, to two digits


def test_a_quantized_kv_cache_takes_half(worker: Endpoint) -> None:
    sizes = []
    for kv_type in ("f16", "q8_0"):
        with engine_for(Path(starter_path()), worker, wishes=Wishes(kv_type=kv_type)) as engine:
            assert answer(engine)
            sizes.append(bytes_on(engine, worker=True, use="KV"))
    assert sizes[1] / sizes[0] == pytest.approx(0.53, abs=0.01)


def test_two_workers_share_the_layers() -> None:
    with running_worker() as (first, _), running_worker() as (second, _):
        wishes = Wishes(tensor_split=(2.0, 1.0))
        with engine_for(Path(starter_path()), first, second, wishes=wishes) as engine:
            answer(engine)
            larger, smaller = (engine.places()[name_of(worker)]["KV"] for worker in (first, second))
            assert 1.7 < larger / smaller < 2.5  # whole layers


def test_a_worker_that_dies_is_one_clear_error_and_the_next_answer_goes_without_it() -> None:
    with running_worker() as (endpoint, process), engine_for(Path(starter_path()), endpoint) as engine:
        pieces = engine.stream(PROMPT, GenerationSettings(max_tokens=2_000, seed=1), CancelToken())
        for piece in pieces:
            if isinstance(piece, Piece):
                break
        kill(endpoint, process)
        with pytest.raises(EngineError, match=f"The worker at {endpoint} is gone") as caught:
            list(pieces)
        assert "without it" in caught.value.hint
        assert answer(engine)
        assert bytes_on(engine, worker=True, use="model") == 0


@pytest.mark.parametrize(
    "wishes", [Wishes(tensor_split=(2.0, 1.0)), Wishes(main_gpu=1), Wishes(gpu_layers=99)], ids=str
)
def test_what_was_wished_of_a_worker_that_died_does_not_stop_the_next_answer(wishes: Wishes) -> None:
    with (
        running_worker() as (first, _),
        running_worker() as (second, process),
        engine_for(Path(starter_path()), first, second, wishes=wishes) as engine,
    ):
        answer(engine)
        kill(second, process)
        with pytest.raises(EngineError, match=f"The worker at {second} is gone"):
            answer(engine)
        assert answer(engine)
        assert engine.places()[name_of(first)]["model"] > 0


def test_the_last_worker_that_dies_leaves_the_cpu_whatever_was_wished_of_it() -> None:
    wishes = Wishes(gpu_layers=99)
    with running_worker() as (endpoint, process), engine_for(Path(starter_path()), endpoint, wishes=wishes) as engine:
        answer(engine)
        kill(endpoint, process)
        with pytest.raises(EngineError, match=f"The worker at {endpoint} is gone"):
            answer(engine)
        assert answer(engine)


def kill(endpoint: Endpoint, process: "subprocess.Popen[bytes]") -> None:
    """End what computes for others, and wait until nothing listens there."""
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    while is_listening(endpoint):
        pass


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b""])
def test_what_answers_and_is_no_worker_is_named(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = Endpoint("127.0.0.1", server.getsockname()[1])
        threading.Thread(target=greet, args=(server, says), daemon=True).start()
        with engine_for(Path(starter_path()), place) as engine, pytest.raises(EngineError) as caught:
            result_of(engine.open(CancelToken()))
    assert caught.value.message == f"What answers at {place} is no worker that this llama.cpp can use."
    assert "gdb" not in caught.value.hint


def greet(server: socket.socket, says: bytes) -> None:
    """Say the same to everybody, and hang up."""
    while True:
        try:
            connection, _address = server.accept()
        except OSError:
            return
        with connection, suppress(OSError):
            if says:
                connection.recv(1)
                connection.sendall(says)


def test_a_worker_that_never_was_there_is_named() -> None:
    nobody = Endpoint("127.0.0.1", free_port())
    with engine_for(Path(starter_path()), nobody) as engine, pytest.raises(EngineError, match=str(nobody)):
        result_of(engine.open(CancelToken()))


def test_a_worker_that_serves_another_chat_is_named(worker: Endpoint) -> None:
    with engine_for(Path(starter_path()), worker) as first, engine_for(Path(starter_path()), worker) as second:
        result_of(first.open(CancelToken()))
        with pytest.raises(EngineError, match=f"{worker} .* one chat at a time"):
            result_of(second.open(CancelToken()))


def test_a_question_is_answered_through_a_worker(worker: Endpoint) -> None:
    ended = run_hychat("-m", "starter", "-v", "-n", "--max-tokens", "3", "hi", "--rpc", str(worker))
    assert ended.code == 0
    assert f"All 30 layers on {name_of(worker)}." in ended.error


def test_experts_are_watched_on_a_device_that_has_no_room_for_two_contexts(worker: Endpoint, tmp_path: Path) -> None:
    path = write_hunyuan_moe(tmp_path / "mixture.gguf")
    with engine_for(path, worker) as engine:
        plain = answer(engine)
        assert engine.watch_experts().layers == ()
        events = list(engine.stream(PROMPT, GREEDY, CancelToken()))
        assert "".join(event.text for event in events if isinstance(event, Piece)) == plain
        assert isinstance(events[-1], Done)
        assert events[-1].usage.reused_tokens > 0  # what was read went along
        assert engine.watch_experts().layers


def test_the_doctor_loads_a_model_on_a_worker_and_tells_as_much_cache_as_was_planned(worker: Endpoint) -> None:
    ended = run_hychat("doctor", "--load", "starter", "--rpc", str(worker), "--ctx", "2048", "--json")
    found = {finding["check"]: finding for finding in ended.json}
    assert found["workers"]["status"] == "ok"
    assert f"All 30 layers on {name_of(worker)}." in found["plan"]["message"]
    held = found["load"]["details"]["places"][name_of(worker)]
    assert held["KV"] == read_header(starter_path()).kv_bytes_per_token() * 2_048


@pytest.mark.parametrize("name", ["hunyuan-7b", "hunyuan-a13b", "hy-mt2-30b-a3b"])
def test_compute_buffers_are_as_llama_cpp_has_them(worker: Endpoint, tmp_path: Path, name: str) -> None:
    layouts = [
        *(Layout(tokens, layers, 0) for tokens in (2_048, 8_192, 32_768) for layers in (16, 99)),
        *(Layout(8_192, 99, experts) for experts in (16, 99)),
        Layout(8_192, 99, kv_type="q8_0"),
    ]
    path = write_whole(tmp_path / f"{name}.gguf", SHAPES[name])
    footprint = Footprint.of(read_header(str(path)))
    actual = simulated(path, layouts, [str(worker)], LLAMA_CPP_LIB_PATH=LIBRARIES)
    for layout, compute in zip(layouts, actual, strict=True):
        machine, device = footprint.places(layout, [name_of(worker)])
        assert device.total == pytest.approx(device.total - device.compute + compute[device.name], rel=0.08)
        assert machine.total == pytest.approx(machine.total - machine.compute + compute["CPU"], rel=0.08)


@pytest.mark.parametrize(
    ("model", "layout"),
    [
        (("dense", "Q4_K_M"), Layout(1_024, 3)),
        (("mixture", "Q4_K_M"), Layout(1_024, 99, 4)),
        (("mixture", "F16"), Layout(1_024, 3, 2)),
    ],
    ids=str,
)
def test_what_stays_on_the_machine_is_what_an_answer_touches(
    worker: Endpoint, middling: Middling, tmp_path: Path, model: tuple[str, str], layout: Layout
) -> None:
    path = middling[model[0]][model[1]]
    small = write_hunyuan_dense(tmp_path / "small.gguf")
    readings = [touched(path, small, layout, [str(worker)], LLAMA_CPP_LIB_PATH=LIBRARIES) for _reading in range(3)]
    taken = min(readings, key=sum)  # on a busy machine a buffer that was sent and freed may count, too
    machine, _device = Footprint.of(read_header(str(path))).places(layout, [name_of(worker)])
    assert machine.total == pytest.approx(sum(taken), rel=0.08)


def test_the_worker_refuses_an_address_that_others_can_reach() -> None:
    ended = run_hychat("rpc-worker", "--host", "0.0.0.0")  # noqa: S104 - that is what is refused
    assert ended.code == 2
    assert "--allow-remote" in ended.error


def test_the_worker_says_when_its_port_is_taken(worker: Endpoint) -> None:
    ended = run_hychat("rpc-worker", "--port", str(worker.port))
    assert ended.code == 2
    assert f"Nothing can listen at {worker}: Address already in use." in ended.error


def test_a_worker_listens_at_the_numbers_of_a_name() -> None:
    port = free_port()
    with started("rpc-worker", "--host", "localhost", "--port", str(port), "--threads", "1") as process:
        assert process.stderr is not None
        assert f"A worker at 127.0.0.1:{port}, computing on ".encode() in process.stderr.readline()
        while not is_listening(Endpoint("127.0.0.1", port)):
            assert process.poll() is None


def test_a_worker_that_listens_everywhere_does_not_advise_an_address_of_nowhere() -> None:
    port = free_port()
    with started("rpc-worker", "--host", "0.0.0.0", "--port", str(port), "--allow-remote") as process:  # noqa: S104 - the same
        assert process.stderr is not None
        told = [process.stderr.readline() for _line in range(4)]
    assert f"hychat --rpc THIS-MACHINE:{port} " in told[-1].decode()


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("::1", "::1 is an address of IPv6"),
        ("192.0.2.1", "Nothing can listen at 192.0.2.1:50052: Cannot assign requested address."),
        ("no.such.host.invalid", "no.such.host.invalid is no address of this machine."),
    ],
)
def test_an_address_that_no_worker_can_listen_at_is_refused(host: str, problem: str) -> None:
    ended = run_hychat("rpc-worker", "--host", host, "--port", "50052", "--allow-remote")
    assert ended.code == 2
    assert problem in ended.error
    assert "Endpoint" not in ended.error


def test_a_build_without_rpc_says_so() -> None:
    ended = run_hychat("rpc-worker", env={"LLAMA_CPP_LIB_PATH": ""})
    assert ended.code == 4
    assert "GGML_RPC=on" in ended.error


def test_ctrl_c_ends_the_worker() -> None:
    with running_worker() as (endpoint, process):
        process.send_signal(signal.SIGINT)
        process.wait(10)
        assert not is_listening(endpoint)
