"""What `list` tells of the collected tests, and how ids stay the same everywhere."""

import hashlib

import pytest

FILE = '''
    import pytest

    @pytest.fixture
    def shop():
        return 1

    def test_plain():
        """Says hello.

        At length.
        """

    @pytest.mark.slow
    @pytest.mark.parametrize("text", ["a", "b c", "[d]"])
    def test_many(text, shop):
        pass

    class TestGroup:
        def test_in_class(self, shop):
            pass

    @pytest.mark.parametrize("n", [1, 2])
    class TestEach:
        def test_each(self, n):
            pass
    '''


@pytest.fixture
def listed(probe):
    probe.write({"pytest.ini": "[pytest]\nmarkers = slow\n", "sub/test_x.py": FILE})

    def listed(wanted, *args):
        ran = probe.run(*args, list=wanted, collect_only=True)
        assert ran.rc == 0
        assert ran.one("collected")["n"] == 7
        assert ran.all("start") == []
        return ran.one("file", id="sub/test_x.py")["tests"]

    return listed


def test_ids_give_names_and_parameters(listed):
    assert listed("ids") == {
        "test_plain": {},
        "test_many": {"params": ["a", "b c", "[d]"]},
        "TestGroup::test_in_class": {},
        "TestEach::test_each": {"params": ["1", "2"]},
    }


def test_names_give_lines_and_numbers(listed):
    tests = listed("names")
    assert {name: about.get("n") for name, about in tests.items()} == {
        "test_plain": None,
        "test_many": 3,
        "TestGroup::test_in_class": None,
        "TestEach::test_each": 2,
    }
    assert (tests["test_plain"]["line"], tests["TestGroup::test_in_class"]["line"]) == (8, 20)


def test_full_gives_all_that_is_known(listed):
    tests = listed("full")
    assert {**tests["test_many"], "line": 0} == {
        "line": 0,
        "n": 3,
        "params": ["a", "b c", "[d]"],
        "marks": ["slow"],
        "fixtures": ["shop"],
    }
    assert tests["test_plain"] == {"line": 8, "doc": "Says hello."}
    assert tests["TestGroup::test_in_class"]["fixtures"] == ["shop"]
    assert "fixtures" not in tests["TestEach::test_each"]


def test_workers_of_xdist_tell_the_same_once(listed, needs):
    needs("xdist")
    # with --collect-only xdist collects in the controller; the run below is the distributed one
    assert listed("ids", "-n2") == listed("ids")


def test_distributed_run_lists_once_and_counts_in_each_worker(probe, needs):
    needs("xdist")
    probe.write({"pytest.ini": "[pytest]\nmarkers = slow\n", "sub/test_x.py": FILE})
    probe.write({"test_off.py": "import pytest\npytest.skip('off', allow_module_level=True)\n"})
    ran = probe.run("-n2", list="names")
    assert ran.one("file")["tests"]["test_many"]["n"] == 3
    assert sorted((f["worker"], f["n"]) for f in ran.all("collected")) == [("gw0", 7), ("gw1", 7)]
    assert ran.one("collect")["reason"] == "off"


def test_nothing_is_listed_unless_asked_for(probe):
    probe.write({"test_x.py": "def test_a(): pass\n"})
    assert probe.run(list="none").all("file") == []


def test_list_stands_beside_collection_errors(probe):
    probe.write({"test_a.py": "def test_a(): pass\n", "test_b.py": "import no_such_module\n"})
    ran = probe.run(list="ids", collect_only=True)
    assert ran.one("file")["id"] == "test_a.py"
    assert ran.one("collect")["id"] == "test_b.py"
    assert ran.rc == 2


def test_doctests_are_listed(probe):
    probe.write({"lib.py": 'def f():\n    """\n    >>> 1\n    1\n    """\n'})
    ran = probe.run("--doctest-modules", "lib.py", list="names", collect_only=True)
    assert list(ran.one("file", id="lib.py")["tests"]) == ["lib.f"]


def test_huge_lists_are_split_and_add_up(probe):
    probe.write(
        {
            "test_x.py": """
            import pytest
            @pytest.mark.parametrize("text", range(2500), ids=["%05d" % n + "x" * 1000 for n in range(2500)])
            def test_many(text): pass
            """
        }
    )
    ran = probe.run(list="ids", collect_only=True)
    parts = [fact["tests"]["test_many"]["params"] for fact in ran.all("file")]
    assert len(parts) == 3
    assert [param[:5] for part in parts for param in part] == [f"{n:05d}" for n in range(2500)]
    longest = max((ran.run_dir / "events.jsonl").read_text().splitlines(), key=len)
    assert len(longest) < 1_100_000


def test_long_ids_are_cut_the_same_everywhere(probe):
    probe.write(
        {
            "test_x.py": """
            import pytest
            @pytest.mark.parametrize("text", [1], ids=["a" * 9000])
            def test_long(text): assert 0
            """
        }
    )
    ran = probe.run(list="ids")
    whole = "test_x.py::test_long[" + "a" * 9000 + "]"
    cut = whole[:7986] + "…#" + hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()
    assert len(cut) == 8000
    assert ran.one("start")["id"] == ran.one("finish")["id"] == ran.one("phase", when="call")["id"] == cut
    assert ran.one("file")["tests"] == {cut.partition("::")[2]: {}}


def test_strange_ids_come_through_unharmed(probe):
    names = ["a\nb", "::", "]", "[", "'\"\\", "ü", "\U0001f600", "a  b", "-n"]
    probe.write(
        {
            "test_x.py": f"""
            import pytest
            @pytest.mark.parametrize("n", range({len(names)}), ids={names!r})
            def test_strange(n): pass
            """
        }
    )
    ran = probe.run(list="ids")
    starts = [fact["id"] for fact in ran.all("start")]
    listed = ran.one("file")["tests"]["test_strange"]["params"]
    assert starts == [f"test_x.py::test_strange[{param}]" for param in listed]
    assert len(set(starts)) == len(names)
