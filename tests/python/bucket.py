"""An independent judge of the local buckets: an unmodified S3 client writes, reads and is refused.

Usage: bucket.py URL SECRET HOTKEY   (boto3; SECRET is that of localnet.json, HOTKEY a registered one's public key in hex)
"""

import hashlib
import io
import os
import sys
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def main(url, secret, hotkey):
    def text(label):
        parts = [b"grail-localnet-bucket-v1", bytes.fromhex(secret), bytes.fromhex(hotkey), label.encode()]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    def client(key, key_secret):
        config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1})
        keys = {"aws_access_key_id": key, "aws_secret_access_key": key_secret}
        return boto3.client("s3", endpoint_url=url, region_name="auto", config=config, **keys)

    def refusal(call):
        try:
            call()
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    bucket = text("bucket")[:32]
    writer = client(text("write id")[:32], text("write secret"))
    reader = client(text("read id")[:32], text("read secret"))
    key = "grail/a b+c.txt"
    writer.put_object(Bucket=bucket, Key=key, Body=b"hello")
    assert reader.get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
    assert reader.get_object(Bucket=bucket, Key=key, Range="bytes=1-3")["Body"].read() == b"ell"
    assert reader.head_object(Bucket=bucket, Key=key)["ContentLength"] == 5
    assert [found["Key"] for found in reader.list_objects_v2(Bucket=bucket, Prefix="grail/a")["Contents"]] == [key]
    print("written, read, listed")

    assert refusal(lambda: writer.put_object(Bucket=bucket, Key=key, Body=b"x", IfNoneMatch="*")) == "PreconditionFailed"
    assert refusal(lambda: reader.put_object(Bucket=bucket, Key="x", Body=b"x")) == "AccessDenied"
    assert refusal(lambda: reader.get_object(Bucket=bucket, Key="none")) == "NoSuchKey"
    wrong = client(text("write id")[:32], "wrong")
    assert refusal(lambda: wrong.get_object(Bucket=bucket, Key=key)) == "SignatureDoesNotMatch"
    print("refused: an overwrite, a reader's write, a missing key, a wrong secret")

    large = os.urandom(12 << 20)
    writer.upload_fileobj(io.BytesIO(large), bucket, "large")
    back = io.BytesIO()
    reader.download_fileobj(bucket, "large", back)
    assert back.getvalue() == large
    link = reader.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=60)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == b"hello"
    writer.delete_object(Bucket=bucket, Key="large")
    writer.delete_object(Bucket=bucket, Key=key)
    print("in parts, by a signed link, deleted")
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
