"""Handles: names of the zoo, folders, web servers, the Hugging Face Hub."""

import functools
import http.server
import inspect
import shutil
import sys
import threading
import types
from pathlib import Path

import pytest

from moe_keras.zoo import from_preset, load_preset
from moe_keras.zoo.presets import packaged
from moe_keras.zoo.presets.downloads import cache_folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOE_KERAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(zoo):
    """The address of a web server with the tiny zoo, and what it was asked."""
    root, _, _ = zoo
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/image/toy_moe", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("image/toy", "the zoo has image/toy_moe.*handle='image/toy'"),
        ("/no/such/folder", "handle='/no/such/folder'"),
        ("image/toy_moe#md5=12", "64 hexadecimal digits"),
        ("image/toy_moe#sha256=12", "64 hexadecimal digits"),
        ("ftp://host/x", "a name of the zoo, a folder, hf:// or https://"),
        ("file:///etc", "a name of the zoo, a folder, hf:// or https://"),
        ("http://host/x", r"must end in #sha256="),
        ("https://", "must read https://host/folder"),
        ("https://host/x?y=z", "must read https://host/folder"),
        ("hf://owner", "must read hf://owner/repository/folder"),
        ("hf://owner/name/../../x", "must read hf://owner/repository/folder"),
    ],
)
def test_a_handle_that_names_nothing_is_refused(zoo, handle, message):
    with pytest.raises(ValueError, match=f"load_preset: .*{message}"):
        load_preset(handle)


def test_a_zoo_without_presets_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "zoo_root", lambda: tmp_path)
    with pytest.raises(ValueError, match="the zoo has no presets"):
        load_preset("image/toy_moe")


def test_a_folder_is_a_handle_with_and_without_its_checksum(zoo):
    root, _, info = zoo
    folder = root / "image" / "toy_moe"
    assert load_preset(folder).info == info
    assert load_preset(f"{folder}#sha256={info.sha256.upper()}").info == info


def test_the_cache_is_where_it_was_wished(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("MOE_KERAS_CACHE")
    monkeypatch.setenv("KERAS_HOME", "/keras")
    assert cache_folder() == Path("/keras/moe_keras")
    monkeypatch.delenv("KERAS_HOME")
    assert cache_folder() == Path.home() / ".keras" / "moe_keras"


def test_a_web_server_is_asked_once(server, zoo, capsys, tmp_path):
    url, asked = server
    handle = f"{url}/#sha256={zoo[2].sha256}"
    assert load_preset(handle).info == zoo[2]
    assert sorted(path.rsplit("/", 1)[1] for path in asked) == [
        *("model.json", "preset.json", "weights.npz")
    ]
    asked.clear()
    assert load_preset(handle).info == zoo[2]
    assert not asked
    assert len(list((tmp_path / "cache").rglob("weights.npz"))) == 1
    # What is printed is for the results of commands.
    assert capsys.readouterr().out == ""


def test_a_kept_file_that_is_cut_off_is_fetched_again(server, zoo, tmp_path):
    url, asked = server
    handle = f"{url}#sha256={zoo[2].sha256}"
    load_preset(handle)
    (kept,) = (tmp_path / "cache").rglob("weights.npz")
    kept.write_bytes(kept.read_bytes()[:100])
    asked.clear()
    load_preset(handle)
    assert asked == ["/image/toy_moe/weights.npz"]


def test_a_server_with_another_file_is_refused(server, zoo):
    url, _ = server
    root, _, info = zoo
    path = root / "image" / "toy_moe" / "weights.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"weights\.npz must be the file"):
        load_preset(f"{url}#sha256={info.sha256}")
    # Nor is it used the second time.
    with pytest.raises(ValueError, match=r"weights\.npz must be the file"):
        load_preset(f"{url}#sha256={info.sha256}")


def test_a_server_without_the_file_is_named(server, zoo):
    url, _ = server
    with pytest.raises(
        ValueError, match=r"cannot be fetched.*/nothing/preset\.json.*404"
    ):
        load_preset(f"{url}/nothing#sha256={zoo[2].sha256}")


# --- the Hugging Face Hub ---


def hf_hub_download(repo_id, filename, *, cache_dir=None, force_download=False):
    """As much of the real one's signature as is used here."""


@pytest.fixture
def hub(zoo, monkeypatch, tmp_path):
    """A hub whose repository `owner/moe` is the tiny zoo."""
    calls = []

    def download(**options):
        inspect.signature(hf_hub_download).bind(**options)
        calls.append(options)
        if options["repo_id"] != "owner/moe":
            raise OSError("404 Client Error.\nRepository Not Found")
        kept = tmp_path / "hub" / options["filename"]
        if options.get("force_download") or not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(zoo[0] / options["filename"], kept)
        return str(kept)

    module = types.ModuleType("huggingface_hub")
    module.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return calls


def test_a_repository_of_the_hub_is_a_handle(hub, zoo, tmp_path, monkeypatch):
    preset = load_preset("hf://owner/moe/image/toy_moe")
    assert preset.info == zoo[2]
    assert hub[0] == {
        "repo_id": "owner/moe",
        "filename": "image/toy_moe/preset.json",
        "cache_dir": str(tmp_path / "cache" / "hub"),
    }
    monkeypatch.delenv("MOE_KERAS_CACHE")
    from_preset("hf://owner/moe/image/toy_moe")
    assert "cache_dir" not in hub[-1]  # its own


def test_the_repository_itself_can_be_the_preset(hub, zoo):
    shutil.copytree(zoo[0] / "image" / "toy_moe", zoo[0], dirs_exist_ok=True)
    assert load_preset("hf://owner/moe").info == zoo[2]
    assert hub[0]["filename"] == "preset.json"


def test_what_the_hub_keeps_and_is_harmed_is_fetched_again(hub, zoo, tmp_path):
    handle = "hf://owner/moe/image/toy_moe"
    load_preset(handle)
    (tmp_path / "hub" / "image" / "toy_moe" / "weights.npz").write_bytes(b"")
    assert load_preset(handle).info == zoo[2]
    assert hub[-1]["force_download"]


def test_a_repository_that_is_not_there_is_named(hub):
    rule = r"cannot be fetched.*hf://other/moe/preset\.json.*404 Client Error"
    with pytest.raises(ValueError, match=rule) as error:
        load_preset("hf://other/moe")
    assert "\n" not in str(error.value)


def test_without_the_hubs_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"install moe_keras\[hub\]"):
        load_preset("hf://owner/moe")


def test_the_stand_in_for_the_hub_is_like_the_real_one():
    real = pytest.importorskip("huggingface_hub").hf_hub_download
    known = inspect.signature(real).parameters
    for name, parameter in inspect.signature(
        hf_hub_download
    ).parameters.items():
        assert known[name].kind == parameter.kind
