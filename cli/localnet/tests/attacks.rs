//! Extrinsics that may not enter are refused with Substrate's reason, and leave no trace.

mod support;

use grail_localnet::chain::call::{Call, SystemCall};
use grail_localnet::chain::extrinsic::Era;
use grail_localnet::chain::{Chain, Fate, Invalid, SubmitError, Unknown};
use parity_scale_codec::Encode;
use proptest::prelude::*;

use support::{Extrinsic, account, chain, genesis, signer};

fn remark() -> Call {
    Call::System(SystemCall::Remark { remark: vec![1, 2, 3] })
}

fn refused(chain: &Chain, bytes: Vec<u8>) -> SubmitError {
    let error = chain.submit(bytes).expect_err("it may not enter");
    assert!(chain.pending().is_empty());
    error
}

#[test]
fn an_extrinsic_as_it_should_be_is_taken() {
    let chain = chain(genesis());
    let (_, mut fate) = chain.submit(Extrinsic::new(&chain, 0, &remark()).signed(&signer(1))).expect("taken");
    let sealed = chain.seal().expect("seals");
    assert_eq!(fate.try_recv(), Ok(Fate::InBlock { number: 1, hash: sealed.hash }));
}

#[test]
fn a_signature_is_of_this_signer_over_this_extrinsic_on_this_chain() {
    let chain = chain(genesis());
    let bad = |change: fn(&mut Extrinsic)| {
        // What is signed differs from what is sent.
        let sent = Extrinsic::new(&chain, 0, &remark());
        let mut signed = Extrinsic::new(&chain, 0, &remark());
        change(&mut signed);
        sent.with_signature(account(1), signer(1).sign(&signed.payload()))
    };
    let attacks: [fn(&mut Extrinsic); 8] = [
        |e| e.call = Call::System(SystemCall::Remark { remark: vec![1, 2, 4] }).encode(),
        |e| e.nonce = 1,
        |e| e.tip = 1,
        |e| e.genesis_hash = [1; 32],
        |e| e.birth_hash = [1; 32],
        |e| e.spec_version += 1,
        |e| e.transaction_version += 1,
        |e| e.mode = 1,
    ];
    for attack in attacks {
        assert_eq!(refused(&chain, bad(attack)), SubmitError::Invalid(Invalid::BadProof));
    }
    assert!(chain.submit(bad(|_| {})).is_ok(), "without a change it is taken");
}

#[test]
fn a_signature_of_somebody_else_or_of_another_scheme_is_refused() {
    let chain = chain(genesis());
    let extrinsic = Extrinsic::new(&chain, 0, &remark());
    let payload = extrinsic.payload();
    let by_other = extrinsic.with_signature(account(1), signer(2).sign(&payload));
    assert_eq!(refused(&chain, by_other), SubmitError::Invalid(Invalid::BadProof));
    let wrapped = signer(1).sign(&[b"<Bytes>", payload.as_slice(), b"</Bytes>"].concat());
    assert_eq!(refused(&chain, extrinsic.with_signature(account(1), wrapped)), SubmitError::Invalid(Invalid::BadProof));
    // Byte 2 of the prefix, 0x84, the address: then the scheme.
    let mut ed25519 = extrinsic.signed(&signer(1));
    let scheme = 2 + 1 + 33;
    assert_eq!(ed25519[scheme], 1);
    ed25519[scheme] = 0;
    assert_eq!(refused(&chain, ed25519), SubmitError::Invalid(Invalid::BadProof));
    assert_eq!(refused(&chain, extrinsic.with_signature([0; 32], [0; 64])), SubmitError::Invalid(Invalid::BadProof));
}

#[test]
fn a_payload_over_256_bytes_is_signed_by_its_hash() {
    let chain = chain(genesis());
    for length in [100, 163, 164, 165, 166, 300, 5000] {
        let nonce = chain.next_nonce(&account(1));
        let call = Call::System(SystemCall::Remark { remark: vec![7; length] });
        chain.submit(Extrinsic::new(&chain, nonce, &call).signed(&signer(1))).expect("taken");
    }
    assert_eq!(chain.pending().len(), 7);
}

#[test]
fn a_nonce_counts_once_and_in_order() {
    let chain = chain(genesis());
    let send = |nonce, tip| {
        let mut extrinsic = Extrinsic::new(&chain, nonce, &remark());
        extrinsic.tip = tip;
        chain.submit(extrinsic.signed(&signer(1))).map(|_| ())
    };
    assert_eq!(send(1, 0), Err(SubmitError::Invalid(Invalid::Future)));
    assert_eq!(send(0, 0), Ok(()));
    assert_eq!(send(0, 5), Err(SubmitError::TooLowPriority));
    assert_eq!(send(2, 0), Err(SubmitError::Invalid(Invalid::Future)));
    assert_eq!(send(1, 0), Ok(()));
    chain.seal().expect("seals");
    assert_eq!(send(0, 0), Err(SubmitError::Invalid(Invalid::Stale)));
    assert_eq!(send(1, 0), Err(SubmitError::Invalid(Invalid::Stale)));
    assert_eq!(send(2, 0), Ok(()));
}

#[test]
fn an_extrinsic_is_in_one_block_only() {
    let chain = chain(genesis());
    let bytes = Extrinsic::new(&chain, 0, &remark()).signed(&signer(1));
    chain.submit(bytes.clone()).expect("taken");
    assert_eq!(chain.submit(bytes.clone()).expect_err("waits"), SubmitError::AlreadyImported);
    chain.seal().expect("seals");
    assert_eq!(refused(&chain, bytes), SubmitError::Invalid(Invalid::Stale));
    chain.seal().expect("seals");
    assert_eq!(chain.block(1).expect("reads").expect("a block").extrinsics.len(), 2);
    assert_eq!(chain.block(2).expect("reads").expect("a block").extrinsics.len(), 1);
}

#[test]
fn a_mortal_extrinsic_lives_for_its_period() {
    let chain = chain(genesis());
    for _ in 0..10 {
        chain.seal().expect("seals");
    }
    let mortal = |birth: u32, period: u64| {
        let mut extrinsic = Extrinsic::new(&chain, 0, &remark());
        extrinsic.era = Era::Mortal { period, phase: u64::from(birth) % period };
        extrinsic.birth_hash = chain.block_hash(birth).expect("reads").expect("a block");
        extrinsic.signed(&signer(1))
    };
    // The next block is 11. Born in 7 for 4 blocks: 7, 8, 9, 10 have passed.
    assert_eq!(refused(&chain, mortal(7, 4)), SubmitError::Invalid(Invalid::AncientBirthBlock));
    let mut elsewhere = Extrinsic::new(&chain, 0, &remark());
    elsewhere.era = Era::Mortal { period: 8, phase: 1 };
    elsewhere.birth_hash = [3; 32];
    assert_eq!(refused(&chain, elsewhere.signed(&signer(1))), SubmitError::Invalid(Invalid::BadProof));
    assert_eq!(refused(&chain, mortal(2, 8)), SubmitError::Invalid(Invalid::BadProof), "outdated: 10 is its birth now");
    assert!(chain.submit(mortal(8, 4)).is_ok(), "11 is its last block");
    let (_, mut fate) = chain
        .submit({
            let mut next = Extrinsic::new(&chain, 1, &remark());
            next.era = Era::Mortal { period: 64, phase: 10 };
            next.birth_hash = chain.block_hash(10).expect("reads").expect("a block");
            next.signed(&signer(1))
        })
        .expect("the head may be the birth block");
    chain.seal().expect("seals");
    assert!(matches!(fate.try_recv(), Ok(Fate::InBlock { number: 11, .. })));
}

#[test]
fn tips_need_a_balance() {
    let chain = chain(genesis());
    let mut extrinsic = Extrinsic::new(&chain, 0, &remark());
    extrinsic.tip = 1;
    assert_eq!(refused(&chain, extrinsic.signed(&signer(11))), SubmitError::Invalid(Invalid::Payment));
    assert!(chain.submit(extrinsic.signed(&signer(1))).is_ok());
}

#[test]
fn what_cannot_be_looked_up_is_said_to_be_unknown() {
    let chain = chain(genesis());
    let mut hashed = Extrinsic::new(&chain, 0, &remark());
    hashed.mode = 1;
    assert_eq!(refused(&chain, hashed.signed(&signer(1))), SubmitError::Unknown(Unknown::CannotLookup));
    let bare = [vec![4], remark().encode()].concat().encode();
    assert_eq!(refused(&chain, bare), SubmitError::Unknown(Unknown::NoUnsignedValidator));
}

#[test]
fn what_cannot_be_read_is_refused_as_such() {
    let chain = chain(genesis());
    let good = Extrinsic::new(&chain, 0, &remark()).signed(&signer(1));
    let with_call = |call: &[u8]| {
        let mut extrinsic = Extrinsic::new(&chain, 0, &remark());
        extrinsic.call = call.to_vec();
        extrinsic.signed(&signer(1))
    };
    for call in [&[99, 0][..], &[7, 200], &[7, 0, 81], &[], &[0, 0, 4, 1, 2]] {
        assert!(matches!(refused(&chain, with_call(call)), SubmitError::Verification(_)), "{call:?}");
    }
    assert!(matches!(refused(&chain, vec![]), SubmitError::BadFormat(_)));
    assert!(matches!(refused(&chain, good[..good.len() - 1].to_vec()), SubmitError::BadFormat(_)));
    assert!(matches!(refused(&chain, [good.clone(), vec![0]].concat()), SubmitError::BadFormat(_)));
    let huge = vec![0; (1 << 20) + 1];
    assert_eq!(refused(&chain, huge), SubmitError::Invalid(Invalid::ExhaustsResources));
    assert!(chain.submit(good).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), framed: bool) {
        let chain = chain_once();
        let bytes = if framed { [&[0x84, 0][..], &bytes].concat().encode() } else { bytes };
        prop_assert!(chain.submit(bytes).is_err());
    }

    #[test]
    fn any_changed_byte_is_refused(at in 0usize..120, change in 1u8..) {
        let chain = chain_once();
        let mut bytes = Extrinsic::new(chain, 0, &remark()).signed(&signer(1));
        let at = at % bytes.len();
        bytes[at] ^= change;
        prop_assert!(chain.submit(bytes).is_err());
    }
}

fn chain_once() -> &'static Chain {
    static CHAIN: std::sync::OnceLock<Chain> = std::sync::OnceLock::new();
    CHAIN.get_or_init(|| chain(genesis()))
}
