//! A corpus as one file: each input with its length before it, the shortest first.
//!
//! ```text
//! length u32, little endian | input | length | input ..
//! ```

use std::collections::BTreeSet;

/// Inputs longer than this are not kept, in bytes.
pub const INPUT_BYTES_MAX: usize = 4_096;

/// Reads the inputs of a corpus; `None` where the bytes are none.
pub fn unpack(mut packed: &[u8]) -> Option<Vec<&[u8]>> {
    let mut inputs = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed.split_first_chunk::<4>()?;
        let (input, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        inputs.push(input);
        packed = rest;
    }
    Some(inputs)
}

/// Writes inputs as a corpus: each once, by length and then by bytes; those that are too long are left out.
pub fn pack(inputs: &[Vec<u8>]) -> Vec<u8> {
    let short = inputs.iter().filter(|input| input.len() <= INPUT_BYTES_MAX);
    let ordered: BTreeSet<(u32, &[u8])> =
        short.map(|input| (u32::try_from(input.len()).expect("short"), input.as_slice())).collect();
    ordered.iter().flat_map(|(length, input)| [&length.to_le_bytes()[..], input].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_once_and_in_order() {
        let packed = pack(&[b"bb".to_vec(), b"c".to_vec(), Vec::new(), b"bb".to_vec(), vec![0; INPUT_BYTES_MAX + 1]]);
        assert_eq!(unpack(&packed), Some(vec![&b""[..], b"c", b"bb"]));
        assert_eq!(unpack(&packed[..packed.len() - 1]), None);
    }
}
