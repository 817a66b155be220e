//! Logs as logrotate leaves them: plain, or packed by gzip, xz or zstd. What a file is shows its beginning, not its name.

use std::io::{self, BufRead, BufReader, Read};

/// Bytes read at once.
const BUFFER: usize = 1 << 18;

/// Packers of logs that are not read.
const OTHERS: [(&[u8], &str); 3] = [
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
    (&[0x1f, 0x9d], "compress"),
];

/// The log's own bytes, unpacked if need be; also of several packed parts one behind the other.
pub fn open<'r>(log: impl Read + 'r) -> io::Result<Box<dyn BufRead + 'r>> {
    let mut log = BufReader::with_capacity(BUFFER, log);
    let start = log.fill_buf()?;
    Ok(if start.starts_with(&[0x1f, 0x8b]) {
        buffered(flate2::bufread::MultiGzDecoder::new(log))
    } else if start.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        buffered(liblzma::bufread::XzDecoder::new_multi_decoder(log))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        buffered(zstd::stream::read::Decoder::with_buffer(log)?)
    } else if let Some((_, packer)) = OTHERS.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("packed by {packer}, which is not read here: unpack it first"),
        ));
    } else {
        Box::new(log)
    })
}

fn buffered<'r>(log: impl Read + 'r) -> Box<dyn BufRead + 'r> {
    Box::new(BufReader::with_capacity(BUFFER, log))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn maillog_open_unpacks_what_logrotate_packs() {
        const TEXT: &[u8] = b"one\ntwo\n";
        let gz = || {
            let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            gz.write_all(TEXT).unwrap();
            gz.finish().unwrap()
        };
        let xz = || {
            let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 6);
            xz.write_all(TEXT).unwrap();
            xz.finish().unwrap()
        };
        let zst = || zstd::encode_all(TEXT, 1).unwrap();
        let cases = [
            ("plain", TEXT.to_vec(), TEXT.to_vec()),
            ("empty", Vec::new(), Vec::new()),
            ("gzip", gz(), TEXT.to_vec()),
            ("gzip twice", [gz(), gz()].concat(), TEXT.repeat(2)),
            ("xz", xz(), TEXT.to_vec()),
            ("xz twice", [xz(), xz()].concat(), TEXT.repeat(2)),
            ("zstd", zst(), TEXT.to_vec()),
            ("zstd twice", [zst(), zst()].concat(), TEXT.repeat(2)),
        ];
        for (name, packed, want) in cases {
            let mut got = Vec::new();
            open(&packed[..]).unwrap().read_to_end(&mut got).unwrap();
            assert_eq!(got, want, "{name}");
        }
        let mut cut = gz();
        cut.truncate(cut.len() - 6);
        assert!(open(&cut[..]).unwrap().read_to_end(&mut Vec::new()).is_err(), "cut off");
        let other = open(&b"BZh91AY&SY"[..]).map(drop).unwrap_err();
        assert!(other.to_string().contains("bzip2"), "{other}");
    }
}
