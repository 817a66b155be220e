//! Whether the comparison with other filters still works. Its figures are `cargo xtask bench --peers`' affair.

use smtpgate_tests::lab::gate::binary;
use smtpgate_tests::peers::{Plan, run};

#[test]
#[ignore = "root: cargo xtask test"]
fn peers_all_refuse_the_same_flood_and_are_measured() {
    let found = run(&Plan::quick(), binary().unwrap()).unwrap();
    for filter in ["xdp-drop", "smtpgate", "nftables", "ipset", "iptables", "none"] {
        let row = found["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["filter"] == filter);
        let row = row.unwrap_or_else(|| panic!("{filter} was not measured"));
        assert!(row["one_core_ns"].as_f64().unwrap() > 0.0, "{row:#}");
        assert!(
            row["overload"]["received_per_second"].as_f64().unwrap() > 0.0,
            "{row:#}"
        );
        if filter != "xdp-drop" {
            assert!(row["latency"][0]["connections"].as_u64().unwrap() > 0, "{row:#}");
        }
    }
}
