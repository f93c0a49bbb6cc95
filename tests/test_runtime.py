"""The runtime: what is set, what is left to the user, and what the switches do."""

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from striate import runtime
from striate.cli import doctor
from striate.errors import InputError

ROOT = Path(__file__).parents[1]
ON_GLIBC = sys.platform == "linux" and "glibc" in os.confstr("CS_GNU_LIBC_VERSION")


@pytest.fixture
def before_torch(monkeypatch):
    """As if torch were not loaded in this process."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def in_a_new_process(program: str, **variables: str) -> str:
    """What ``program`` prints in a Python where only ``variables`` set anything about threads or memory."""
    ours = ("OMP_", "GOMP_", "KMP_", "MKL_", "STRIATE_", "LD_PRELOAD")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    result = subprocess.run(
        [sys.executable, "-c", program],
        env=clean | variables,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return result.stdout.strip()


@pytest.mark.usefixtures("before_torch")
class TestWaiting:
    def test_is_passive_unless_somebody_chose(self):
        environment = {}
        assert runtime.set_waiting(environment).state == "passive"
        assert environment == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}

    @pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
    def test_respects_what_the_user_set(self, name):
        environment = {name: "ACTIVE"}
        setting = runtime.set_waiting(environment)
        assert environment == {name: "ACTIVE"}
        assert (setting.state, name in setting.why) == ("active", True)

    def test_has_an_off_switch(self):
        environment = {"STRIATE_PASSIVE_WAIT": "0"}
        assert runtime.set_waiting(environment).why == "switched off"
        assert "OMP_WAIT_POLICY" not in environment


def test_after_torch_is_loaded_nothing_is_claimed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", sys)
    environment = {}
    assert "loaded before" in runtime.set_waiting(environment).why
    assert "loaded before" in runtime.set_threads(environment).why
    assert environment == {}


@pytest.mark.usefixtures("before_torch")
class TestThreads:
    def test_are_as_many_as_the_processors_of_this_process(self, monkeypatch):
        monkeypatch.setattr(runtime, "usable_processors", lambda: 3)
        environment = {}
        assert runtime.set_threads(environment).state == "3"
        assert environment == {"OMP_NUM_THREADS": "3"}

    def test_respect_the_users_omp_num_threads(self):
        environment = {"OMP_NUM_THREADS": "7"}
        assert runtime.set_threads(environment).state == "7"
        assert environment == {"OMP_NUM_THREADS": "7"}

    def test_striate_threads_goes_above_all(self):
        environment = {"OMP_NUM_THREADS": "7", "STRIATE_THREADS": "5"}
        assert runtime.set_threads(environment).state == "5"
        assert environment["OMP_NUM_THREADS"] == "5"

    @pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
    def test_a_wrong_count_is_an_error(self, wrong):
        with pytest.raises(InputError, match="number of threads"):
            runtime.set_threads({"STRIATE_THREADS": wrong})


def test_torch_starts_with_the_number_of_threads_that_was_asked_for():
    program = "from striate import runtime; runtime.prepare(); import torch; print(torch.get_num_threads())"
    assert in_a_new_process(program, STRIATE_THREADS="1") == "1"


def control_group_tree(root: Path, membership: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


class TestQuota:
    def test_version_2_is_read_and_the_tightest_parent_counts(self, tmp_path):
        files = {"box/cpu.max": "150000 100000\n", "box/inner/cpu.max": "max 100000\n"}
        root = control_group_tree(tmp_path, "0::/box/inner\n", files)
        assert runtime.processor_quota(root) == 1.5

    def test_version_1_is_read_whatever_it_is_mounted_with(self, tmp_path):
        files = {"cpu/box/cpu.cfs_quota_us": "50000\n", "cpu/box/cpu.cfs_period_us": "100000\n"}
        root = control_group_tree(tmp_path, "5:memory:/box\n4:cpu,cpuacct:/box\n", files)
        assert runtime.processor_quota(root) == 0.5

    def test_a_container_that_sees_only_its_own_mount_is_read_there(self, tmp_path):
        files = {"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}
        root = control_group_tree(tmp_path, "4:cpu:/docker/0123\n", files)
        assert runtime.processor_quota(root) == 3.0

    @pytest.mark.parametrize(
        ("membership", "files"),
        [
            ("0::/\n", {"cpu.max": "max 100000\n"}),
            ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}),
            ("0::/\n", {}),
            ("", {}),
        ],
    )
    def test_no_limit_is_none(self, tmp_path, membership, files):
        assert runtime.processor_quota(control_group_tree(tmp_path, membership, files)) is None

    def test_a_system_without_control_groups_has_none(self, tmp_path):
        assert runtime.processor_quota(tmp_path) is None

    @pytest.mark.parametrize(
        ("quota", "expected"), [("30000", 1), ("100000", 1), ("110000", 2), ("900000", 4)]
    )
    def test_is_rounded_up_and_never_above_the_affinity_mask(self, tmp_path, monkeypatch, quota, expected):
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)
        root = control_group_tree(tmp_path, "0::/\n", {"cpu.max": f"{quota} 100000\n"})
        assert runtime.usable_processors(root) == expected


REPEATED_BLOCKS = """
import ctypes, resource
from striate import runtime
runtime.prepare()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
size = 64 << 20
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    ctypes.memset(block, 1, size)
    libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(not ON_GLIBC, reason="the allocator is set on glibc only")
class TestAllocator:
    def test_a_large_block_asked_for_again_comes_without_page_faults(self):
        assert int(in_a_new_process(REPEATED_BLOCKS)) < 20

    def test_off_leaves_the_system_its_way(self):
        # A fault for every page, or for every huge page where the kernel gives those unasked.
        assert int(in_a_new_process(REPEATED_BLOCKS, STRIATE_MALLOC="0")) > 20

    def test_a_thread_still_gets_blocks_larger_than_its_heap(self):
        program = (
            "from striate import runtime; runtime.prepare()\n"
            "import threading\n"
            "sizes = []\n"
            "thread = threading.Thread(target=lambda: sizes.append(len(bytearray(300 << 20))))\n"
            "thread.start(); thread.join(); print(sizes[0] >> 20)"
        )
        assert in_a_new_process(program) == "300"

    def test_a_preloaded_allocator_is_left_alone(self):
        assert runtime.set_allocator({"LD_PRELOAD": "libjemalloc.so.2"}).state == "as preloaded"

    def test_has_an_off_switch(self):
        assert runtime.set_allocator({"STRIATE_MALLOC": "0"}).state == "system default"


def test_elsewhere_the_allocator_is_left_alone_and_the_record_says_so(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runtime.set_allocator({}).why == "not glibc"


def test_without_glibcs_version_function_it_is_not_glibc(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: object())
    assert runtime.set_allocator({}).why == "not glibc"


def test_channels_last_is_on_unless_switched_off():
    assert runtime.channels_last({})
    assert not runtime.channels_last({"STRIATE_CHANNELS_LAST": "0"})
    assert runtime.memory_format({"STRIATE_CHANNELS_LAST": "0"}).state == "contiguous"


@pytest.mark.parametrize("name", ["STRIATE_PASSIVE_WAIT", "STRIATE_MALLOC", "STRIATE_CHANNELS_LAST"])
def test_a_switch_is_0_or_1_and_nothing_else(name):
    with pytest.raises(InputError, match="neither 0 nor 1") as error:
        runtime.apply({name: "off"})
    assert error.value.where == name


def test_prepare_acts_once_and_keeps_its_record():
    program = (
        "from striate import runtime; first = runtime.prepare(); import torch\n"
        "print(runtime.prepare() is first, first.waiting.state, first.threads.state)"
    )
    assert in_a_new_process(program, STRIATE_THREADS="1") == "True passive 1"


class TestDoctor:
    def test_tells_each_setting_as_it_is_in_its_own_process(self):
        program = "import sys; sys.argv[1:] = ['doctor', '--json']; from striate.cli.main import main; main()"
        switches = {"STRIATE_PASSIVE_WAIT": "0", "STRIATE_MALLOC": "0", "STRIATE_CHANNELS_LAST": "0"}
        output = in_a_new_process(program, STRIATE_THREADS="1", STRIATE_DATA="/pictures", **switches)
        findings = json.loads(output)
        assert [setting["state"] for setting in findings["runtime"]] == [
            "torch's default",
            "system default",
            "1",
            "contiguous",
        ]
        assert findings["processor"]["threads"] == 1
        assert findings["environment"]["STRIATE_DATA"] == "/pictures"
        assert findings["environment"]["STRIATE_OFFLINE"] is None

    def test_fits_80_columns_and_prints_brackets_as_they_are(self, monkeypatch):
        monkeypatch.setattr(runtime, "prepare", lambda: runtime.apply({"STRIATE_MALLOC": "0"}))
        monkeypatch.setattr(doctor, "installed", lambda package: None)
        monkeypatch.setenv("STRIATE_DATA", "/pictures[bold]/" + "long/" * 20)
        console = Console(width=80, record=True, file=io.StringIO())
        console.print(doctor.draw(doctor.examine()))
        page = console.export_text()
        assert max(map(len, page.splitlines())) <= 80
        assert "/pictures[bold]/" in page
        assert "pip install 'striate[logging]'" in page

    def test_knows_the_extras_of_the_package(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        packages = {
            name: tuple(re.match(r"[\w.-]+", package).group() for package in extras[name])
            for name in extras
            if name != "dev"
        }
        assert packages == doctor.EXTRAS

    def test_a_memory_limit_is_the_tightest_control_groups(self, tmp_path, monkeypatch):
        files = {"memory.max": "max\n", "box/memory.max": "1073741824\n"}
        root = control_group_tree(tmp_path, "0::/box\n", files)
        groups = runtime.control_groups("memory", root)
        monkeypatch.setattr(runtime, "control_groups", lambda controller: groups)
        assert doctor.memory()["limit"] == 2**30
