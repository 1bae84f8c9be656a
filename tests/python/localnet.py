"""An independent judge of the local chain: unmodified Python clients register, commit, read back and set weights.

Usage: localnet.py ws://127.0.0.1:9944   (async-substrate-interface 2.2.1, bittensor-wallet 4.1.1)

//Alice must have a balance; //Alice and a fresh hotkey are registered on subnet 81.
"""

import sys

from async_substrate_interface import SubstrateInterface
from bittensor_wallet import Keypair

NETUID = 81


def main(url):
    chain = SubstrateInterface(url=url, ss58_format=42)
    print("chain", chain.chain, "head", chain.get_block_number(None))
    alice = Keypair.create_from_uri("//Alice")
    hotkey = Keypair.create_from_mnemonic(Keypair.generate_mnemonic())

    def submit(key, module, function, params):
        call = chain.compose_call(module, function, params)
        extrinsic = chain.create_signed_extrinsic(call=call, keypair=key)
        receipt = chain.submit_extrinsic(extrinsic, wait_for_inclusion=True, wait_for_finalization=True)
        print(module, function, "success", receipt.is_success, "error", receipt.error_message)
        return receipt

    def value(module, item, params):
        found = chain.query(module, item, params)
        return getattr(found, "value", found)

    registered = submit(alice, "SubtensorModule", "burned_register", {"netuid": NETUID, "hotkey": hotkey.ss58_address})
    assert registered.is_success
    uid = value("SubtensorModule", "Uids", [NETUID, hotkey.ss58_address])
    assert value("SubtensorModule", "Keys", [NETUID, uid]) == hotkey.ss58_address
    print("uid", uid)

    text = b"x" * 128
    info = {"fields": [[{"Raw128": "0x" + text.hex()}]]}
    assert submit(hotkey, "Commitments", "set_commitment", {"netuid": NETUID, "info": info}).is_success
    stored = value("Commitments", "CommitmentOf", [NETUID, hotkey.ss58_address])
    print("commitment", str(stored)[:120])
    assert "Raw128" in str(stored)
    pages = list(chain.query_map("Commitments", "CommitmentOf", [NETUID]))
    assert len(pages) >= 1
    print("commitments on the subnet", len(pages))

    refused = submit(alice, "Commitments", "set_commitment", {"netuid": NETUID, "info": info})
    assert not refused.is_success
    assert "AccountNotAllowedCommit" in str(refused.error_message)

    weights = {"netuid": NETUID, "dests": [uid], "weights": [7], "version_key": 0}
    assert submit(hotkey, "SubtensorModule", "set_weights", weights).is_success
    found = value("SubtensorModule", "Weights", [NETUID, uid])
    print("weights", found)
    assert [tuple(pair) for pair in found] == [(uid, 65535)]

    graph = chain.runtime_call("SubnetInfoRuntimeApi", "get_metagraph", [NETUID])
    graph = getattr(graph, "value", graph)
    print("metagraph of", graph["num_uids"], "hotkeys", len(graph["hotkeys"]), "block", graph["block"])
    assert graph["num_uids"] == len(graph["hotkeys"])
    chain.close()
    print("ok")


if __name__ == "__main__":
    main(sys.argv[1])
