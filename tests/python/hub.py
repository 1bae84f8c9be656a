"""An independent judge of the stand-in for the Hugging Face hub, and of what `grail export` puts there: the hub's own
client lists, reads, adds, and is refused.

Usage: hub.py URL TOKEN READER DATASET FOLDER   (huggingface_hub, pyarrow; FOLDER has the Parquet file that was exported, too)
"""

import io
import pathlib
import sys

import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError


def main(url, token, reader, dataset, folder):
    api = HfApi(endpoint=url, token=token)
    of = {"repo_id": dataset, "repo_type": "dataset"}
    (local,) = pathlib.Path(folder).glob("train-*.parquet")
    name = f"data/{local.name}"

    assert api.list_repo_files(**of) == [".gitattributes", name]
    (info,) = api.get_paths_info(paths=name, **of)
    assert info.lfs is not None and info.size == local.stat().st_size, info
    path = api.hf_hub_download(filename=name, **of, cache_dir=str(pathlib.Path(folder) / "cache"))
    assert pathlib.Path(path).read_bytes() == local.read_bytes()
    rows = pq.read_table(path).num_rows
    assert rows > 0
    print("listed and read:", rows, "rows of", name)

    # Adding as the stand-in's other clients do, the large store and small files; what is there stays.
    head = api.repo_info(**of).sha
    done = api.upload_file(path_or_fileobj=local, path_in_repo="data/train-copy.parquet", **of)
    assert done.oid == api.repo_info(**of).sha != head
    additions = [
        CommitOperationAdd("notes.txt", io.BytesIO(b"words\n")),
        CommitOperationAdd("data/train-other.parquet", local.read_bytes()[:-1]),
    ]
    api.create_commit(operations=additions, commit_message="two", parent_commit=done.oid, **of)
    files = [".gitattributes", "notes.txt", "data/train-copy.parquet", "data/train-other.parquet", name]
    assert sorted(api.list_repo_files(**of)) == sorted(files)
    notes = api.hf_hub_download(filename="notes.txt", **of, cache_dir=str(pathlib.Path(folder) / "cache"))
    assert pathlib.Path(notes).read_text() == "words\n"
    print("added:", *files[1:-1])

    def refusal(call):
        try:
            call()
        except HfHubHTTPError as error:
            return type(error), error.response.status_code
        return None

    late = [CommitOperationAdd("x.txt", b"x")]
    stale = lambda: api.create_commit(operations=late, commit_message="late", parent_commit=head, **of)
    assert refusal(stale) == (HfHubHTTPError, 412), refusal(stale)
    assert refusal(lambda: api.repo_info("org/none", repo_type="dataset")) == (RepositoryNotFoundError, 404)
    assert refusal(lambda: api.repo_info(**of, revision="none")) == (RevisionNotFoundError, 404)
    for other, status in [(reader, 403), ("hf_wrong", 401)]:
        told = refusal(lambda: HfApi(endpoint=url, token=other).create_commit(operations=late, commit_message="x", **of))
        assert told is not None and told[1] == status, told
    assert sorted(api.list_repo_files(**of)) == sorted(files)
    print("refused: a stale parent, a missing data set and branch, tokens without the right")

    api.create_repo("org/made", repo_type="dataset", private=True)
    assert api.repo_info("org/made", repo_type="dataset").private
    assert refusal(lambda: HfApi(endpoint=url, token=False).repo_info("org/made", repo_type="dataset"))[1] == 401
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
