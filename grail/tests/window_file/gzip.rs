//! A stored file is one whole gzip member, and inflating it costs what its text costs.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use grail_protocol::window::{Limits, MAX_STORED_BYTES, ReadError, WindowFile, read_stored, store};

use super::sample::{small, small_text};
use super::{LIMITS, SCHEMA, malformed_at, over_cap, replaced};

fn read_bytes(stored: &[u8]) -> Result<WindowFile, ReadError> {
    read_stored(stored, &SCHEMA, &LIMITS)
}

#[test]
fn what_is_stored_reads_back_and_is_always_the_same() {
    let stored = store(&small_text());
    assert_eq!(read_bytes(&stored).unwrap(), small());
    assert_eq!(stored, store(&small_text()));
    assert_eq!(stored[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], "no flags, time, level or system");
}

#[test]
fn a_member_that_names_its_file_is_read() {
    let mut encoder =
        flate2::GzBuilder::new().filename("a").comment("b").extra("c").mtime(7).write(Vec::new(), Compression::best());
    encoder.write_all(small_text().as_bytes()).unwrap();
    assert_eq!(read_bytes(&encoder.finish().unwrap()).unwrap(), small());
}

#[test]
fn nothing_stands_after_the_member() {
    let stored = store(&small_text());
    for after in [&b"\0"[..], b"\n", &stored, &store(""), &[0; 100_000]] {
        assert_eq!(malformed_at(read_bytes(&[&stored, after].concat())), "gzip");
    }
    // The text in two members, which general tools would join.
    let text = small_text();
    let (first, second) = text.split_at(text.len() / 2);
    assert_eq!(malformed_at(read_bytes(&[store(first), store(second)].concat())), "gzip");
}

#[test]
fn a_member_cut_anywhere_is_malformed() {
    let stored = store(&small_text());
    for length in 0..stored.len() {
        assert_eq!(malformed_at(read_bytes(&stored[..length])), "gzip", "{length}");
    }
}

#[test]
fn a_bit_flipped_outside_what_gzip_leaves_free_is_refused() {
    let stored = store(&small_text());
    let (mut refused, mut read) = (0, 0);
    for place in 0..stored.len() * 8 {
        let mut broken = stored.clone();
        broken[place / 8] ^= 1 << (place % 8);
        // The hint that the content is text; the time, the level and the system; what is left of the last byte.
        let is_free = place == 24 || (32..80).contains(&place) || place / 8 == stored.len() - 9;
        match read_bytes(&broken) {
            Ok(file) => {
                assert!(is_free && file == small(), "bit {place}");
                read += 1;
            }
            Err(ReadError::Malformed { .. } | ReadError::OverCap { .. }) => refused += 1,
            Err(e) => panic!("bit {place}: {e}"),
        }
    }
    assert!((49..57).contains(&read) && refused + read == stored.len() * 8, "{refused} {read}");
}

#[test]
fn a_wrong_checksum_or_length_is_malformed() {
    let stored = store(&small_text());
    for place in stored.len() - 8..stored.len() {
        let mut broken = stored.clone();
        broken[place] = broken[place].wrapping_add(1);
        assert_eq!(malformed_at(read_bytes(&broken)), "gzip");
    }
}

#[test]
fn bytes_that_are_no_gzip_are_malformed() {
    for bytes in [&b""[..], b"\x1f", b"{}", small_text().as_bytes(), b"PK\x03\x04", &[0x1f, 0x8b, 9, 0]] {
        assert_eq!(malformed_at(read_bytes(bytes)), "gzip");
    }
}

#[test]
fn a_malformed_text_in_a_whole_member_has_its_own_place() {
    let text = replaced(&small_text(), "\"round\":1000", "\"round\":1.0");
    assert_eq!(malformed_at(read_bytes(&store(&text))), "beacon.round");
}

/// Counts what was read of the stored bytes.
struct Counted<R> {
    stored: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stored.read(out)?;
        self.count += count as u64;
        Ok(count)
    }
}

#[test]
fn a_bomb_stops_at_the_cap_on_text() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(1));
    io::copy(&mut io::repeat(b' ').take(256 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() > 1 << 20, "{}", bomb.len());
    let limits = Limits { text_bytes: 1 << 20, ..LIMITS };
    let mut counted = Counted { stored: &*bomb, count: 0 };
    assert_eq!(over_cap(read_stored(&mut counted, &SCHEMA, &limits)), "bytes of text");
    assert!(counted.count <= 128 << 10, "{}", counted.count);
    // The same bytes under a cap that they keep are only no file.
    assert_eq!(malformed_at(read_stored(&*bomb, &SCHEMA, &Limits { text_bytes: 256 << 20, ..LIMITS })), "file");
}

#[test]
fn stored_bytes_over_their_cap_are_over_the_cap_whatever_they_are() {
    let stored = store(&small_text());
    // A header whose body is zeros, which inflate to nothing.
    let broken = &stored[..10];
    for beginning in [&stored[..], broken, b"", b"{}"] {
        let mut counted = Counted { stored: beginning.chain(io::repeat(0)), count: 0 };
        assert_eq!(over_cap(read_stored(&mut counted, &SCHEMA, &LIMITS)), "stored bytes");
        assert!(counted.count <= MAX_STORED_BYTES + (64 << 10));
        let at_the_cap = beginning.chain(io::repeat(0)).take(MAX_STORED_BYTES);
        assert_eq!(malformed_at(read_stored(at_the_cap, &SCHEMA, &LIMITS)), "gzip");
    }
}

#[test]
fn trouble_of_the_source_is_no_fault_of_the_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let stored = store(&small_text());
    for length in [0, 5, 100, stored.len() - 4, stored.len()] {
        let result = read_stored(stored[..length].chain(Broken), &SCHEMA, &LIMITS);
        assert!(matches!(&result, Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::ConnectionReset), "{result:?}");
    }
}
