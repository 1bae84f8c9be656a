//! Each way to break the format is refused with its place, and the nearest text that does not break it is read.

use grail_protocol::window::{WindowFile, read};
use serde_json::Value;

use super::protocol::support::load;
use super::sample::{small, small_text};
use super::{LIMITS, SCHEMA, malformed_at, read_text, replaced, vectors};

/// What is replaced in the small file's text, by what it becomes malformed and where, and what may stand there.
const CASES: &[(&str, &str, &str, &str)] = &[
    // Keys.
    ("\"round\":1000", "\"round\":1000,\"round\":1000", "beacon.round", "\"round\":1001"),
    ("\"round\":1000", "\"round\":1000,\"r\\u006fund\":1000", "beacon.round", "\"r\\u006fund\":1000"),
    ("\"round\":1000,", "", "beacon.round", "\"round\":0,"),
    ("\"round\":1000", "\"Round\":1000", "beacon", "\"round\" : 1000"),
    ("\"round\":1000", "\"round\":1000,\"note\":1", "beacon", "\"round\":-1000"),
    ("\"round\":1000", "\"round\":1000,\"\":1", "beacon", "\"round\":1"),
    ("\"wallet\":\"wallet\"", "\"wallet\":\"wallet\",\"clauses\":[]", "file", "\"wallet\":\"clauses\""),
    ("\"nonce\":7", "\"nonce\":7,\"nonce\":7", "inferences[0].nonce", "\"nonce\":8"),
    (
        "\"num_vars\":66",
        "\"num_vars\":66,\"num_vars\":66",
        "inferences[0].commit.sat_problem.num_vars",
        "\"num_vars\":6",
    ),
    (",\"num_vars\":66", "", "inferences[0].commit.sat_problem.num_vars", ",\"num_vars\":-66"),
    ("\"num_vars\":66", "\"num_vars\":66,\"x\":1", "inferences[0].commit.sat_problem", "\"num_vars\":0"),
    ("\"satisfied_clauses\":15,", "", "inferences[0].commit.rollout.satisfied_clauses", "\"satisfied_clauses\":14,"),
    ("\"proof\":{}", "\"proof\":{\"a\":1}", "inferences[0].proof", "\"proof\":{ }"),
    ("\"proof\":{}", "\"proof\":[]", "inferences[0].proof", "\"proof\":\n{}"),
    ("\"proof\":{},", "", "inferences[0].proof", "\"proof\":{} ,"),
    // Integers.
    ("\"number\":6001", "\"number\":6001.0", "block.number", "\"number\":60010"),
    ("\"number\":6001", "\"number\":1e0", "block.number", "\"number\":1"),
    ("\"number\":6001", "\"number\":-0", "block.number", "\"number\":0"),
    ("\"number\":6001", "\"number\":012", "block.number", "\"number\":12"),
    ("\"number\":6001", "\"number\":+1", "block.number", "\"number\":-1"),
    ("\"number\":6001", "\"number\":\"6001\"", "block.number", "\"number\": 6001 "),
    ("\"number\":6001", "\"number\":true", "block.number", "\"number\":10"),
    ("\"number\":6001", "\"number\":null", "block.number", "\"number\":-9"),
    ("\"number\":6001", "\"number\":[6001]", "block.number", "\"number\":600"),
    ("\"number\":6001", "\"number\":{}", "block.number", "\"number\":6"),
    ("\"number\":6001", "\"number\":", "block.number", "\"number\":\r\n5"),
    ("\"number\":6001", "\"number\":1 2", "block", "\"number\":1 "),
    ("\"inference_count\":1", "\"inference_count\":2", "inference_count", "\"inference_count\":1 "),
    ("\"inference_count\":1", "\"inference_count\":1.0", "inference_count", "\"inference_count\" :1"),
    // Reals.
    ("\"timestamp\":1692806371.25", "\"timestamp\":NaN", "timestamp", "\"timestamp\":0"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":Infinity", "timestamp", "\"timestamp\":1.7976931348623157e308"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":1e309", "timestamp", "\"timestamp\":1E308"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":.5", "timestamp", "\"timestamp\":0.5"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":5.", "timestamp", "\"timestamp\":5.0e-0"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":01.5", "timestamp", "\"timestamp\":-0"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":\"now\"", "timestamp", "\"timestamp\":-1e-999"),
    ("\"timestamp\":1692806371.25", "\"timestamp\":null", "timestamp", "\"timestamp\":1e+3"),
    ("2.125]]", "-Infinity]]", "inferences[0].commit.rollout.trajectory[0][2]", "2]]"),
    // Lists per token.
    ("[371,", "[768,", "inferences[0].commit.tokens[0]", "[767,"),
    ("[371,", "[-1,", "inferences[0].commit.tokens[0]", "[0,"),
    ("[371,", "[4294967296,", "inferences[0].commit.tokens[0]", "[ 1,"),
    ("1313849995,", "2147483647,", "inferences[0].commit.s_vals[1]", "2147483646,"),
    ("1313849995,", "-1,", "inferences[0].commit.s_vals[1]", "0,"),
    ("1313849995,", "1.0,", "inferences[0].commit.s_vals[1]", "1,"),
    ("1313849995,", "", "inferences[0].commit.s_vals", "9,"),
    ("1313849995,", "8,9,", "inferences[0].commit.s_vals", "8,"),
    ("399]", "399,1]", "inferences[0].commit.s_vals", "1]"),
    ("-0.75,", "", "inferences[0].commit.rollout.raw_token_logprobs", "0.75,"),
    ("-0.5,", "", "inferences[0].commit.rollout.token_logprobs", "-0,"),
    ("-0.5,", "-0.1,", "inferences[0].commit.rollout.token_logprobs[1]", "-0.10000000149011612,"),
    ("-0.75,", "1e39,", "inferences[0].commit.rollout.raw_token_logprobs[1]", "1e10,"),
    ("-0.75,", "false,", "inferences[0].commit.rollout.raw_token_logprobs[1]", "-75e-2,"),
    // Strings.
    ("\"0xhash\"", "\"\\ud800\"", "block.hash", "\"\\ud800\\udc00\""),
    ("\"0xhash\"", "\"\\udc00\\ud800\"", "block.hash", "\"\\uD83D\\uDE00\""),
    ("\"0xhash\"", "\"\\ud800\\u0041\"", "block.hash", "\"\\u0041\\ud800\\udfff\""),
    ("\"0xhash\"", "\"\\ud800\\n\"", "block.hash", "\"\\uD7FF\\n\""),
    ("\"0xhash\"", "\"\\ud800", "block.hash", "\"\\ue000\""),
    ("\"0xhash\"", "\"a\tb\"", "block.hash", "\"a\\tb\""),
    ("\"0xhash\"", "\"\u{0}\"", "block.hash", "\"\\u0000\""),
    ("\"0xhash\"", "\"\u{1f}\"", "block.hash", "\"\u{7f}\u{80}\u{2028}\u{feff}\""),
    ("\"0xhash\"", "\"\\x41\"", "block.hash", "\"\\/\\b\\f\\r\\\"\\\\\""),
    ("\"0xhash\"", "\"\\u12g4\"", "block.hash", "\"\\u12a4\""),
    ("\"0xhash\"", "\"\\u+123\"", "block.hash", "\"\\u0123\""),
    ("\"0xhash\"", "'0xhash'", "block.hash", "\"'0xhash'\""),
    ("\"0xhash\"", "null", "block.hash", "\"null\""),
    ("\"0xhash\"", "7", "block.hash", "\"7\""),
    // Literals.
    ("\"use_drand\":true", "\"use_drand\":1", "inferences[0].use_drand", "\"use_drand\":false"),
    ("\"use_drand\":true", "\"use_drand\":True", "inferences[0].use_drand", "\"use_drand\":true "),
    ("\"use_drand\":true", "\"use_drand\":\"true\"", "inferences[0].use_drand", "\"use_drand\": false"),
    ("\"use_drand\":true", "\"use_drand\":truefalse", "inferences[0].use_drand", "\"use_drand\":\ttrue"),
    // What an environment adds.
    ("[6,1,-3]", "[6,1,-0]", "inferences[0].commit.sat_problem.clauses[0][2]", "[6,1,0]"),
    ("[6,1,-3]", "6", "inferences[0].commit.sat_problem.clauses[0]", "[]"),
    ("[6,1,-3]", "[6,[1],-3]", "inferences[0].commit.sat_problem.clauses[0][1]", "[ 6 , 1 ]"),
    ("[6,1,-3],", "[6,1,-3],null,", "inferences[0].commit.sat_problem.clauses[1]", ""),
    (
        "\"assignment\":[false,true]",
        "\"assignment\":[0]",
        "inferences[0].commit.rollout.assignment[0]",
        "\"assignment\":[]",
    ),
    ("[0,[true,false],2.125]", "[0,[true,false]]", "inferences[0].commit.rollout.trajectory[0]", "[0,[],2.125]"),
    ("[0,[true,false],2.125]", "[0,[],2.125,3]", "inferences[0].commit.rollout.trajectory[0]", "[-5,[],2.125]"),
    ("[0,[true,false],2.125]", "[0.5,[],2.125]", "inferences[0].commit.rollout.trajectory[0][0]", "[5,[],2]"),
    ("[0,[true,false],2.125]", "[0,[1],2.125]", "inferences[0].commit.rollout.trajectory[0][1][0]", ""),
    ("[0,[true,false],2.125]", "{}", "inferences[0].commit.rollout.trajectory[0]", "[0,[],1],[1,[],1]"),
    // Structure.
    ("\"block\":{\"hash\"", "\"block\":{,\"hash\"", "block", "\"block\":{ \"hash\""),
    ("766}", "766,}", "block", "766 }"),
    ("766}", "766]", "block", "766\n}"),
    ("371,", "371,,", "inferences[0].commit.tokens[1]", "371 ,"),
    ("399]", "399,]", "inferences[0].commit.tokens[3]", "399 ]"),
    ("[371,", "[,371,", "inferences[0].commit.tokens[0]", "[371\t,"),
    ("371,325", "371 325", "inferences[0].commit.tokens", "371, 325"),
    ("\"hash\":", "\"hash\"", "block", "\"hash\" :"),
    ("\"hash\":", "hash:", "block", "\"\\u0068ash\":"),
    ("\"hash\":", "\"hash\":/**/", "block.hash", "\"hash\":\n"),
    ("\"hash\":", "\"hash\":\u{a0}", "block.hash", "\"hash\":\t"),
    ("\"hash\":", "\"hash\":\u{b}", "block.hash", "\"hash\":\r"),
];

#[test]
fn each_fault_is_refused_at_its_place_and_its_neighbour_is_read() {
    let text = small_text();
    for &(find, broken, place, whole) in CASES {
        let broken = replaced(&text, find, broken);
        assert_eq!(malformed_at(read_text(&broken)), place, "{broken}");
        let whole = replaced(&text, find, whole);
        read_text(&whole).unwrap_or_else(|e| panic!("{e}: {whole}"));
    }
}

#[test]
fn nothing_but_blanks_stands_around_the_object() {
    let text = small_text();
    for (before, after) in [("", "{}"), ("", &*text), ("", ","), ("", "\0"), ("", "]"), ("", "null"), ("", "\"")] {
        assert_eq!(malformed_at(read_text(format!("{before}{text}{after}"))), "file", "{before} {after}");
    }
    for before in ["\u{feff}", "[", "null", "\"\"", "//\n", ","] {
        assert_eq!(malformed_at(read_text(format!("{before}{text}"))), "file", "{before}");
    }
    assert_eq!(malformed_at(read_text("")), "file");
    assert_eq!(malformed_at(read_text(" \n")), "file");
    assert_eq!(read_text(format!(" \t\r\n{text}\n \t\r")).unwrap(), small());
}

#[test]
fn a_text_cut_anywhere_is_malformed() {
    let text = small_text();
    for length in 0..text.len() {
        malformed_at(read_text(&text[..length]));
    }
    read_text(&text).unwrap();
}

#[test]
fn each_key_of_the_format_is_required() {
    let text = small_text();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut keys = 0;
    for object in [
        "",
        "/block",
        "/beacon",
        "/inferences/0",
        "/inferences/0/commit",
        "/inferences/0/commit/beacon",
        "/inferences/0/commit/model",
        "/inferences/0/commit/sat_problem",
        "/inferences/0/commit/rollout",
    ] {
        let members = document.pointer(object).and_then(Value::as_object).unwrap();
        for key in members.keys() {
            let mut without = document.clone();
            without.pointer_mut(object).and_then(Value::as_object_mut).unwrap().remove(key).unwrap();
            let place = format!("{object}/{key}").replace("/0", "[0]").replace('/', ".");
            let text = super::protocol::window_variants::canonical(&without).unwrap();
            assert_eq!(malformed_at(read_text(text)), place.trim_start_matches('.'));
            keys += 1;
        }
    }
    assert_eq!(keys, 10 + 3 + 2 + 17 + 7 + 1 + 4 + 4 + 10);
}

#[test]
fn bytes_that_are_no_utf8_are_refused_wherever_they_stand() {
    let text = small_text();
    let with = |find: &str, bytes: &[u8]| {
        let at = text.find(find).unwrap();
        let mut broken = text.clone().into_bytes();
        broken.splice(at..at, bytes.iter().copied());
        broken
    };
    for broken in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\x80"] {
        assert_eq!(malformed_at(read_text(with("0xhash", broken))), "block.hash");
        assert_eq!(malformed_at(read_text(with("6001", broken))), "block.number");
        assert_eq!(malformed_at(read_text(with("hash\":\"0xhash", broken))), "block");
        assert_eq!(malformed_at(read_text(with("\"hash", broken))), "block");
    }
    // An escape beside half a character does not make it whole.
    assert_eq!(malformed_at(read_text(with("0xhash", b"\xc3\\u0041\xa9"))), "block.hash");
    let file = read_text(with("0xhash", b"\xc3\xa9\\u0041")).unwrap();
    assert_eq!(file.block.hash, "\u{e9}A0xhash");
}

#[test]
fn what_was_found_is_shortened_and_printable() {
    let long = "\u{7}\u{e9}".repeat(10_000);
    let error = read_text(replaced(&small_text(), ":6001", &format!(":{long}"))).unwrap_err().to_string();
    assert!(error.len() < 300 && error.bytes().all(|b| (b' '..=b'~').contains(&b)), "{error}");
    let error = read_text(replaced(&small_text(), ":6001", ":6001x")).unwrap_err().to_string();
    assert_eq!(error, "malformed: block.number: expected an integer, found 6001x");
}

#[test]
fn without_an_action_there_is_no_step() {
    let schema = grail_protocol::window::Schema { answer: &[], ..SCHEMA };
    let text = small_text();
    let text = replaced(&text, "\"assignment\":[false,true],", "");
    let text = replaced(&text, "\"satisfied_clauses\":15,", "");
    let result = read(text.as_bytes(), &schema, &LIMITS);
    assert_eq!(malformed_at(result), "inferences[0].commit.rollout.trajectory[0]");
    let text = replaced(&text, "[[0,[true,false],2.125]]", "[]");
    read(text.as_bytes(), &schema, &LIMITS).unwrap();
}

#[test]
fn numbers_are_read_as_the_vectors_say() {
    let vectors: Value = load(&vectors(), "exact/protocol.json").unwrap();
    let text = small_text();
    let with = |find: &str, number: &str| read_text(replaced(&text, find, number));
    let reads = |result: Result<WindowFile, _>, expected: bool, number: &str| {
        assert_eq!(result.as_ref().is_ok(), expected, "{number}");
        if !expected {
            malformed_at(result);
        }
    };
    let integers = vectors["integers"].as_array().unwrap();
    for case in integers {
        let number = case["text"].as_str().unwrap();
        let is = |key: &str| case[key].as_bool().unwrap_or(false);
        reads(with("6001", number), is("integer"), number);
        reads(with("371,", &format!("{number},")), is("token_of_768"), number);
        reads(with("1313849995", number), is("s_val"), number);
        if let (Some(value), Ok(file)) = (case["value"].as_str(), with("6001", number)) {
            assert_eq!(file.block.number, value.parse().unwrap_or(i128::MAX), "{number}");
        }
    }
    let floats = vectors["floats"]["read"].as_array().unwrap();
    for case in floats {
        let number = case["text"].as_str().unwrap();
        let result = with("-0.75", number);
        match case["bits"].as_str() {
            Some(bits) => {
                let found = result.unwrap().inferences[0].commit.rollout.raw_token_logprobs[1];
                assert_eq!(format!("{:08x}", found.to_bits()), bits, "{number}");
            }
            None => reads(result, false, number),
        }
    }
    assert!(integers.len() > 20 && floats.len() > 40);
}
