"""Independent readers of what `grail export` writes: pyarrow, and the library that reads data sets of the hub.

Usage: export.py FOLDER WINDOW_FILE   (pyarrow, datasets)
"""

import gzip
import hashlib
import json
import pathlib
import sys

import datasets
import pyarrow as pa
import pyarrow.parquet as pq


def main(folder, window_file):
    with gzip.open(window_file) as stored:
        window = json.load(stored)
    entries = window["inferences"]
    (path,) = pathlib.Path(folder).glob("train-*.parquet")

    table = pq.read_table(path)
    kinds = {field.type for field in table.schema}
    assert kinds == {pa.string(), pa.int64(), pa.float64(), pa.bool_()}, kinds
    assert all(not field.nullable for field in table.schema)
    rows = table.to_pylist()
    print("pyarrow:", len(rows), "rows of", len(table.schema), "columns")
    assert len(rows) == len(entries) > 0

    for row, entry in zip(rows, entries):
        commit, rollout = entry["commit"], entry["commit"]["rollout"]
        text = f"{entry['hotkey']}_{window['window_start']}_{entry['nonce']}"
        assert row["id"] == hashlib.sha256(text.encode()).hexdigest()[:16]
        assert row["miner"] == window["wallet"] and row["sat_seed"] == entry["sat_seed"]
        # Text in Python's own form.
        assert row["grail_tokens"] == json.dumps(commit["tokens"])
        assert row["grail_s_vals"] == json.dumps(commit["s_vals"])
        assert row["solution_trajectory"] == json.dumps(rollout["trajectory"])
        assert json.loads(row["token_logprobs"]) == rollout["token_logprobs"]
        assert json.loads(row["raw_token_logprobs"]) == rollout["raw_token_logprobs"]
        assert row["solution_total_reward"] == rollout["total_reward"] and row["advantage"] == rollout["advantage"]
        assert row["network_id"] == window["network_id"] and row["beacon_round"] == window["beacon"]["round"]

    # As from the hub: the file's name alone makes it part of the split `train`.
    loaded = datasets.load_dataset(str(folder), cache_dir=str(pathlib.Path(folder) / "cache"))
    assert list(loaded) == ["train"], loaded
    assert loaded["train"].to_list() == rows
    print("datasets: split train,", len(loaded["train"]), "rows")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
