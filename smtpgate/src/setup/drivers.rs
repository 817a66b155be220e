//! What XDP mode to expect of a driver: the interface is not touched to find out.

use crate::dataplane::{Interface, Layer};

/// Drivers with XDP of their own (of virtual interfaces, their kinds), and since which Linux (the commit that gave each `ndo_bpf` or `ndo_xdp`, in Linux's
/// history).
const NATIVE: [(&str, u32, u32); 33] = [
    ("atlantic", 5, 19),
    ("bnxt_en", 4, 11),
    ("bond", 5, 15),
    ("dpaa2-eth", 5, 0),
    ("dpaa_eth", 5, 11),
    ("ena", 5, 6),
    ("fec", 6, 2),
    ("fsl_enetc", 5, 13),
    ("gve", 6, 4),
    ("hv_netvsc", 5, 6),
    ("i40e", 4, 13),
    ("ice", 5, 5),
    ("igb", 5, 10),
    ("igc", 5, 13),
    ("ixgbe", 4, 12),
    ("ixgbevf", 4, 17),
    ("mana", 5, 17),
    ("mlx4_en", 4, 8),
    ("mlx5_core", 4, 9),
    ("mtk_soc_eth", 6, 0),
    ("mvneta", 5, 5),
    ("mvpp2", 5, 9),
    ("netsec", 5, 3),
    ("nfp", 4, 10),
    ("nicvf", 4, 12),
    ("qede", 4, 10),
    ("sfc", 5, 5),
    ("stmmac", 5, 13),
    ("tun", 4, 14),
    ("veth", 4, 19),
    ("virtio_net", 4, 10),
    ("vmxnet3", 6, 6),
    ("xen-netfront", 5, 9),
];

/// The mode to expect on an interface, and why. `version` is the kernel's, `others` names XDP programs that are there.
pub fn expect(
    interface: &Interface,
    driver: Option<&str>,
    version: (u32, u32),
    others: &[String],
) -> (&'static str, String) {
    match interface.layer {
        Layer::Loopback => return ("none", "loopback is never guarded".to_owned()),
        Layer::Other(kind) => return ("none", format!("its frames (ARPHRD {kind}) are not read")),
        Layer::Tunnel if version < (5, 14) => {
            return (
                "none",
                "an IP tunnel, which can be guarded from Linux 5.14 on".to_owned(),
            );
        }
        Layer::Ip | Layer::Tunnel => return ("tc", "it has no Ethernet header, which XDP needs".to_owned()),
        Layer::Ethernet => {}
    }
    if !others.is_empty() {
        return ("tc", format!("XDP is taken by {}", others.join(", ")));
    }
    let Some(driver) = driver else {
        return ("generic", "it has no driver of its own".to_owned());
    };
    match NATIVE.iter().find(|(name, ..)| *name == driver) {
        Some((_, major, minor)) if version >= (*major, *minor) => {
            let but = match driver {
                "virtio_net" => {
                    "; where the hypervisor gives it too few queues, or merges packets for it, generic mode is taken"
                }
                "hv_netvsc" | "xen-netfront" | "vmxnet3" if interface.mtu > 3500 => {
                    "; its MTU is large, so it may come to generic mode"
                }
                _ => "",
            };
            ("native", format!("{driver} has XDP since Linux {major}.{minor}{but}"))
        }
        Some((_, major, minor)) => (
            "generic",
            format!("{driver} has XDP only from Linux {major}.{minor} on"),
        ),
        None => ("generic", format!("{driver} is not known to have XDP of its own")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_expected_to_do_what_their_kernel_has() {
        let interface = |layer| Interface {
            index: 2,
            name: "eth0".to_owned(),
            kind: None,
            layer,
            mtu: 1500,
            state: "up".to_owned(),
            xdp: Vec::new(),
        };
        let others = ["program 7 (xdp_dispatcher)".to_owned()];
        for (name, layer, driver, version, others, mode, word) in [
            (
                "a good card",
                Layer::Ethernet,
                Some("ice"),
                (6, 1),
                &[][..],
                "native",
                "5.5",
            ),
            (
                "an old kernel",
                Layer::Ethernet,
                Some("igc"),
                (5, 10),
                &[],
                "generic",
                "5.13",
            ),
            (
                "a desktop's card",
                Layer::Ethernet,
                Some("r8169"),
                (6, 1),
                &[],
                "generic",
                "r8169",
            ),
            ("a bridge", Layer::Ethernet, None, (6, 1), &[], "generic", "driver"),
            (
                "taken",
                Layer::Ethernet,
                Some("ice"),
                (6, 1),
                &others,
                "tc",
                "xdp_dispatcher",
            ),
            ("wireguard", Layer::Ip, Some("wireguard"), (6, 1), &[], "tc", "Ethernet"),
            ("an old tunnel", Layer::Tunnel, None, (5, 10), &[], "none", "5.14"),
            (
                "virtual",
                Layer::Ethernet,
                Some("virtio_net"),
                (6, 1),
                &[],
                "native",
                "queues",
            ),
        ] {
            let (found, because) = expect(&interface(layer), driver, version, others);
            assert_eq!(found, mode, "{name}");
            assert!(because.contains(word), "{name}: {because}");
        }
    }
}
