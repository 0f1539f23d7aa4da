"""The digests of a checkpoint's weights and of its config.json, and the error when the catalog has another."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from serve.checkpoints.read import SINGLE, CheckpointError, weight_files
from serve.checkpoints.verify import check_config, check_weights, config_sha256, weights_sha256


def test_the_digest_of_one_file_is_its_sha256(checkpoint: Path) -> None:
    """The digest of one file is the sha256 of its bytes. Only that digest passes the check."""
    expected = hashlib.sha256((checkpoint / SINGLE).read_bytes()).hexdigest()
    assert weights_sha256(checkpoint) == expected
    check_weights(checkpoint, expected)
    with pytest.raises(CheckpointError, match=f"have sha256 {expected}, the catalog expects 000"):
        check_weights(checkpoint, "0" * 64)


def test_the_digest_of_shards_is_that_of_the_sha256sum_listing(sharded: Path) -> None:
    """The digest of shards is what `sha256sum model-*.safetensors | sha256sum` prints."""
    names = [path.name for path in weight_files(sharded)]
    listing = "".join(f"{hashlib.sha256((sharded / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    assert weights_sha256(sharded) == hashlib.sha256(listing.encode()).hexdigest()


def test_a_changed_config_is_refused(tmp_path: Path) -> None:
    """One changed byte of config.json is refused, even if its values mean the same."""
    (tmp_path / "config.json").write_text('{"layer_norm_eps": 1e-05}')
    expected = config_sha256(tmp_path)
    check_config(tmp_path, expected, "toy")
    for text in ('{"layer_norm_eps": 0.1}', '{"layer_norm_eps": 1e-5}'):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=f"the catalog expects {expected}") as refused:
            check_config(tmp_path, expected, "toy")
        assert "glossa catalog refresh" in str(refused.value.hint)


def test_a_folder_without_config_has_no_digest(tmp_path: Path) -> None:
    """The error names the file that is missing."""
    (tmp_path / SINGLE).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"holds no config\.json, expected one beside the weights"):
        config_sha256(tmp_path)


def _describe_more(folder: Path) -> None:
    """Write what sentence-transformers writes beside a model."""
    (folder / "config.json").write_text("{}")
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Normalize"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_xlm-roberta_config.json").write_text('{"max_seq_length": 128}')
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')


def test_the_digest_covers_what_describes_the_weights(tmp_path: Path) -> None:
    """It is what `sha256sum` prints for the files that describe the weights: a changed pooling is refused."""
    _describe_more(tmp_path)
    names = ("1_Pooling/config.json", "config.json", "modules.json", "sentence_xlm-roberta_config.json")
    listing = "".join(f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    expected = config_sha256(tmp_path)
    assert expected == hashlib.sha256(listing.encode()).hexdigest()
    check_config(tmp_path, expected, "toy")
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"3 files beside it in .* the catalog expects"):
        check_config(tmp_path, expected, "toy")


def test_a_digest_of_config_json_alone_is_read_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older catalog names the sha256 of config.json alone. It still loads, and the log says how to renew it."""
    _describe_more(tmp_path)
    check_config(tmp_path, hashlib.sha256(b"{}").hexdigest(), "toy")
    line = json.loads(capsys.readouterr().err)
    assert line["reason"].endswith("modules.json is not checked; add it: glossa catalog refresh toy")


def test_the_digest_of_an_old_layout_is_that_of_its_inner_folder(tmp_path: Path) -> None:
    """In `0_Transformer/` config.json has its own place in the listing."""
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "0_Transformer" / "config.json").write_text("{}")
    (tmp_path / "modules.json").write_text(json.dumps([{"path": "0_Transformer"}]))
    before = config_sha256(tmp_path)
    (tmp_path / "0_Transformer" / "config.json").write_text("{ }")
    assert config_sha256(tmp_path) != before


def test_a_catalog_without_the_digest_is_read_with_a_warning(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A catalog from before the digest still loads. The log says how to add it, on standard error."""
    check_config(checkpoint, None, "toy")
    written = capsys.readouterr()
    line = json.loads(written.err)
    assert (written.out, line["level"], line["event"]) == ("", "warning", "config-unchecked")
    assert line["reason"].endswith("glossa catalog refresh toy")
