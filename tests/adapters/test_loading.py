"""Finding a client by name, by ``module:function``, or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from testbed import adapters
from testbed.adapters import KNOWN, client, load
from testbed.errors import UsageError
from testbed.ports import Runtime
from testbed.trace import Option

BLOCKING = {"openai-sync", "anthropic-sync", "anthropic-stream-sync", "sseclient-py"}
ASYNCIO_ALONE = {"langchain-openai", "litellm", "aiohttp-sse-client2"}


@pytest.fixture
def folder(tmp_path):
    """A folder that is the current one, with room for modules."""
    before, path = os.getcwd(), list(sys.path)
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)
    sys.path[:] = path


@pytest.mark.parametrize("name", KNOWN)
def test_every_known_client_loads(name):
    """Each has the name and the dialects that the list gives it."""
    # It asks for an older openai than the others live with, so it is not in every environment.
    if name == "litellm":
        pytest.importorskip("litellm")
    adapter = load(name)
    assert adapter.profile.name == name
    assert adapter.profile.dialects == KNOWN[name].dialects


def test_every_known_async_client_runs_on_trio_and_asyncio():
    """Simulated needs the one, real clocks take the other."""
    for name in set(KNOWN) - BLOCKING - ASYNCIO_ALONE:
        assert load(name).runtimes == {Runtime.TRIO, Runtime.ASYNCIO}
    for name in BLOCKING:
        assert load(name).runtimes == {Runtime.THREAD}
    for name in ASYNCIO_ALONE - {"litellm"}:
        assert load(name).runtimes == {Runtime.ASYNCIO}


def test_the_sdks_take_every_setting():
    """All that a package has a word for may be asked of it: no second address, and a blocking one is not cancelled."""
    settings = set(Option) - {Option.FALLBACK, Option.KEEPALIVES, Option.MAX_EVENT_BYTES}
    assert set(load("openai").profile.options) == settings
    assert set(load("openai-sync").profile.options) == settings - {Option.CANCEL}


def test_an_unknown_name_gets_a_hint():
    """Did you mean."""
    with pytest.raises(UsageError, match="unknown client 'opnai'; did you mean 'openai'"):
        load("opnai")


def test_a_function_of_the_current_folder_is_found(folder):
    """It is named as it was asked for, so that a report can be typed back."""
    (folder / "mine_plain.py").write_text("async def chat(target):\n    yield 'a'\n")
    adapter = load("mine_plain:chat")
    assert adapter.profile.name == "mine_plain:chat"
    assert adapter.runtimes == {Runtime.TRIO, Runtime.ASYNCIO}


def test_a_decorated_function_keeps_what_it_declares(folder):
    """Only the name is another one."""
    source = """
    import testbed

    @testbed.client(errors={OSError: {"reset"}}, options=["max_retries"], name="pretty")
    def chat(target):
        yield "a"
    """
    (folder / "mine_decorated.py").write_text(textwrap.dedent(source))
    adapter = load("mine_decorated:chat")
    assert (adapter.profile.name, adapter.profile.options) == ("mine_decorated:chat", (Option.MAX_RETRIES,))


def test_any_object_that_is_a_client_will_do(folder):
    """The port is a protocol."""
    source = "class Own:\n    profile = runtimes = drive = None\nown = Own()\n"
    (folder / "mine_object.py").write_text(source)
    assert type(load("mine_object:own")).__name__ == "Own"


@pytest.mark.parametrize(
    ("source", "spec", "sentence"),
    [
        (None, "nowhere_at_all:chat", "there is no module nowhere_at_all, here or installed"),
        (
            "import not_installed_anywhere",
            "broken_import:chat",
            "broken_import needs the module not_installed_anywhere",
        ),
        ("1 / 0", "broken_code:chat", "importing broken_code failed: ZeroDivisionError: division by zero"),
        (
            "def chatt(target):\n    yield ''",
            "misspelt:chat",
            "unknown function in module misspelt 'chat'; did you mean 'chatt'",
        ),
        ("chat = 5", "number:chat", "chat is no client; it must be a generator function"),
        (None, ":chat", "write module:function"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(folder, source, spec, sentence):
    """Each mistake has its own sentence and no traceback of ours."""
    if source is not None:
        (folder / f"{spec.partition(':')[0]}.py").write_text(source)
    with pytest.raises(UsageError, match=sentence):
        load(spec)


def test_a_missing_package_names_the_line_that_installs_it(tmp_path):
    """Shown in a Python of its own, in which the package can not be imported."""
    code = """
    import sys
    from testbed.errors import UsageError
    import testbed.adapters

    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "openai":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Missing())
    try:
        testbed.adapters.load("openai")
    except UsageError as error:
        print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install 'stream-testbed[openai]'" in done.stdout


def test_importing_the_adapters_imports_no_client_library():
    """Only the adapter that needs one brings it."""
    code = (
        "import sys, testbed.adapters\n"
        "print([name for name in ('openai', 'anthropic', 'httpx', 'httpx_sse', 'anyio') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_public_names_exist():
    """What `__all__` promises is there."""
    assert all(hasattr(adapters, name) for name in adapters.__all__)
    assert client is adapters.declare.client
