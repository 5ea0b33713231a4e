//! Cryptography for signing requests, in plain Rust: a component is built without a C compiler, which ring needs.

use hmac::{Hmac, Mac};
use object_store::{
    Error, Result,
    client::{CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm},
};
use sha2::{Digest, Sha256};

/// SHA-256, and HMAC over it.
#[derive(Debug)]
pub(super) struct Plain;

impl CryptoProvider for Plain {
    fn digest(&self, algorithm: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(ServerHandle(Sha256::new(), Vec::new()))),
            other => Err(unknown(&other)),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|e| unknown(&e))?;
                Ok(Box::new(ServerHandle(mac, Vec::new())))
            }
            other => Err(unknown(&other)),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, _pem: &[u8]) -> Result<Box<dyn Signer>> {
        Err(unknown(&algorithm))
    }
}

/// A running hash, and its result once it is finished.
struct ServerHandle<T>(T, Vec<u8>);

impl DigestContext for ServerHandle<Sha256> {
    fn update(&mut self, data: &[u8]) {
        Digest::update(&mut self.0, data);
    }
    fn finish(&mut self) -> Result<&[u8]> {
        self.1 = self.0.finalize_reset().to_vec();
        Ok(&self.1)
    }
}

impl HmacContext for ServerHandle<Hmac<Sha256>> {
    fn update(&mut self, data: &[u8]) {
        Mac::update(&mut self.0, data);
    }
    fn finish(&mut self) -> Result<&[u8]> {
        self.1 = self.0.clone().finalize().into_bytes().to_vec();
        Ok(&self.1)
    }
}

fn unknown(what: &dyn std::fmt::Debug) -> Error {
    Error::NotSupported {
        source: format!("{what:?} is not among what a component can compute").into(),
    }
}
