#!/usr/bin/env python3
"""Creates things until the region is gone, and says which of them were acknowledged.

usage: acknowledged.py write --admin URL          prints `ack API PATH-PART` after each answer
       acknowledged.py check --admin URL          reads such lines and ends with 1 if one of them is not there
"""
import argparse
import sys
import threading

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=("write", "check"))
parser.add_argument("--admin", required=True)
ARGS = parser.parse_args()
WRITERS = 8
MOST = 280  # resources per API; AWS allows 300
v1 = botocore.session.get_session().create_client(
    "apigateway", endpoint_url=ARGS.admin,
    config=Config(retries={"total_max_attempts": 1}, max_pool_connections=WRITERS, connect_timeout=5, read_timeout=20))
said = threading.Lock()
wrong = []


def write(number):
    try:
        while True:
            api = v1.create_rest_api(name=f"writer-{number}")
            for count in range(MOST):
                part = f"w{number}-{count}"
                v1.create_resource(restApiId=api["id"], parentId=api["rootResourceId"], pathPart=part)
                with said:
                    print("ack", api["id"], part, flush=True)
    except BotoCoreError:
        return  # the region is gone
    except ClientError as error:
        # A region that ends may say so; that is an answer, and no acknowledgement.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 503:
            wrong.append(f"writer {number}: {error}")


def check():
    wanted = {}
    for line in sys.stdin:
        word = line.split()
        if len(word) == 3 and word[0] == "ack":
            wanted.setdefault(word[1], set()).add(word[2])
    assert wanted, "nothing was acknowledged"
    for api, parts in wanted.items():
        pages = v1.get_paginator("get_resources").paginate(restApiId=api, PaginationConfig={"PageSize": 500})
        found = {item.get("pathPart") for page in pages for item in page["items"]}
        assert parts <= found, f"{api} lost {sorted(parts - found)}"
    print(f"ok {sum(map(len, wanted.values()))} resources of {len(wanted)} APIs", flush=True)


def main():
    if ARGS.mode == "check":
        check()
        return
    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not wrong, "\n".join(wrong)


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, ClientError) as error:
        print("FAILED", error, flush=True)
        sys.exit(1)
