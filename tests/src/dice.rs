//! Chance that falls the same way every time, for what is measured or swept. Property tests use proptest.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use ipnet::IpNet;

/// The same numbers every time: splitmix64 (Steele, Lea, Flood, OOPSLA 2014).
#[derive(Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number of 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ word >> 31
    }

    /// A number below the limit; 0 when that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.word() % limit.max(1) as u64).unwrap_or_default()
    }

    /// Any number of 32 bits.
    pub fn half(&mut self) -> u32 {
        u32::try_from(self.word() >> 32).unwrap_or_default()
    }

    /// Any number of 16 bits.
    pub fn short(&mut self) -> u16 {
        u16::try_from(self.word() >> 48).unwrap_or_default()
    }

    /// Any number of 8 bits.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.word() >> 56).unwrap_or_default()
    }

    /// Whether what happens so many times in a hundred happens now.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of these, of which there is one at least.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// An address in one of the prefixes of a family.
    pub fn within(&mut self, nets: &[IpNet], v6: bool) -> Result<IpAddr> {
        let family: Vec<&IpNet> = nets.iter().filter(|net| net.addr().is_ipv6() == v6).collect();
        let net = family.get(self.below(family.len())).context("no such prefixes")?;
        Ok(match net {
            IpNet::V4(net) => {
                let host = self.half() & net.hostmask().to_bits();
                Ipv4Addr::from_bits(net.network().to_bits() | host).into()
            }
            IpNet::V6(net) => {
                let host = (u128::from(self.word()) << 64 | u128::from(self.word())) & net.hostmask().to_bits();
                Ipv6Addr::from_bits(net.network().to_bits() | host).into()
            }
        })
    }
}
