//! Corpora as folders, which libFuzzer reads and writes, and back: `corpus seed|unpack|pack TARGET FOLDER`.
#![expect(clippy::disallowed_methods, reason = "a tool that moves files; the targets touch none")]

use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, corpus};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [command, target, folder] = arguments.as_slice() else {
        return Err(Error::other("usage: corpus seed|unpack|pack TARGET FOLDER"));
    };
    if TARGETS.iter().all(|known| known.name != target) {
        return Err(Error::other(format!("no target is called {target}")));
    }
    let (packed, folder) = (here("corpus").join(format!("{target}.pack")), Path::new(folder));
    match command.as_str() {
        "seed" => write(&seeds(target)?, "seed", folder),
        "unpack" => {
            let bytes = if packed.exists() { fs::read(&packed)? } else { Vec::new() };
            let inputs = corpus::unpack(&bytes).ok_or_else(|| Error::other("the corpus is damaged"))?;
            write(&inputs.iter().map(|input| input.to_vec()).collect::<Vec<_>>(), "known", folder)
        }
        "pack" => {
            let files = fs::read_dir(folder)?.map(|file| fs::read(file?.path())).collect::<Result<Vec<_>>>()?;
            let bytes = corpus::pack(&files);
            println!("{target}: {} inputs, {} bytes", files.len(), bytes.len());
            fs::write(packed, bytes)
        }
        _ => Err(Error::other("the commands are seed, unpack and pack")),
    }
}

/// A path below this crate.
fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn write(inputs: &[Vec<u8>], name: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    inputs.iter().enumerate().try_for_each(|(index, input)| fs::write(folder.join(format!("{name}-{index}")), input))
}

/// Inputs to begin with: golden vectors, and examples.
fn seeds(target: &str) -> Result<Vec<Vec<u8>>> {
    let texts = |texts: &[&str]| Ok(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
    match target {
        "notifications" => golden("../opcua-subscription/vectors"),
        "mqtt_stream" => {
            let packets = golden("../mqtt/vectors")?;
            let connect = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x0a\x00\x00\x00";
            let stream = |version: u8, packet: &[u8]| [&[version, 1, 3, 9, 2], &connect[..], packet].concat();
            let alone = packets.iter().map(|packet| [&[1, 2, 1, 5, 1], packet.as_slice()].concat());
            Ok(alone.chain(packets.iter().flat_map(|packet| [stream(0, packet), stream(1, packet)])).collect())
        }
        "node_id" => texts(&[
            "i=2258",
            "ns=2;s=Line1.Temperature;weird=yes",
            "nsu=urn:plant;i=1001",
            "ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a",
            "ns=1;b=M/RbKBsRVkePCePcx24oRA==",
            " b=AA== ",
        ]),
        "topic_filter" => {
            texts(&["#\na/b", "a/+/c\na//c", "+/#\n$SYS/x", "$SYS/#\n$SYS", "$share/g/a\na", "a+\na", "/\n/"])
        }
        "websocket" => Ok(vec![
            b"\x00\x82\x85\x01\x02\x03\x04hello\x89\x82\0\0\0\0hi\x88\x82\0\0\0\0\x03\xe8".to_vec(),
            b"\x06\x02\xfe\x00\x7e\0\0\0\0".iter().copied().chain([7; 126]).chain(*b"\x80\x80\0\0\0\0").collect(),
            b"\x00\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0".to_vec(),
            b"\x03GET /x HTTP/1.1\r\nHost: b\r\nOrigin: c\r\nUpgrade: websocket\r\n\r\n".to_vec(),
        ]),
        "session_state" => Ok(vec![vec![0; 64], vec![1; 200]]),
        "dataflow" => Ok(vec![
            b"\x00\x00\x01\x01#\x00a/b".to_vec(),
            b"\x01\x01k\x02\x03a/+\x02b/\x07\x26\x00\x01k\x00\x01va/b".to_vec(),
            b"\x02\x01k\x01\x02$a\x00a".to_vec(),
        ]),
        "record" => Ok(vec![vec![0; 80], b"mc\x01\x00".repeat(20)]),
        _ => Ok((1..40).map(|seed| drawn(seed, 120)).collect()),
    }
}

/// The bytes of every `.hex` file of a folder: two digits each, a `#` begins a comment.
fn golden(folder: &str) -> Result<Vec<Vec<u8>>> {
    let mut paths = fs::read_dir(here(folder))?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    let digits = |text: &str| u8::from_str_radix(text, 16).map_err(Error::other);
    let bytes = |text: &str| -> Result<Vec<u8>> {
        text.lines().flat_map(|line| line.split('#').next().unwrap_or("").split_whitespace()).map(digits).collect()
    };
    paths.iter().map(|path| bytes(&fs::read_to_string(path)?)).collect()
}

/// Bytes of a linear congruential generator.
fn drawn(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}
