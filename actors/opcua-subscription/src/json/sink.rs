//! Where JSON text goes: the payload of a publication, or a vector.

use contract::PublicationBuilder;

/// Takes text piece by piece.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);
    fn put_byte(&mut self, byte: u8);
}

impl Sink for PublicationBuilder<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        PublicationBuilder::put(self, bytes);
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        PublicationBuilder::put_byte(self, byte);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.push(byte);
    }
}
