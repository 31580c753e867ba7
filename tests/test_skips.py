"""A run of the tests says at its end what the skipped ones would need."""

from types import SimpleNamespace


def test_skipped_tests_are_counted_by_what_they_need(request):
    (summarize,) = [
        found
        for found in request.config.pluginmanager.hook.pytest_terminal_summary.get_hookimpls()
        if found.plugin_name.endswith("tests/conftest.py")
    ]
    gpu = SimpleNamespace(longrepr=("test_gpu.py", 3, "Skipped: needs a CUDA device"))
    ray = SimpleNamespace(longrepr=("test_cluster.py", 9, "Skipped: ray is not installed"))
    lines = []
    reporter = SimpleNamespace(stats={"skipped": [ray, gpu, gpu]}, section=lines.append, line=lines.append)
    summarize.function(terminalreporter=reporter)
    assert lines[1:] == ["    2 × needs a CUDA device", "    1 × ray is not installed"]
    lines.clear()
    summarize.function(terminalreporter=SimpleNamespace(stats={}, section=lines.append, line=lines.append))
    assert lines == []
