//! Who may speak to the control socket: root, the daemon's own user, and members of the group `smtpgate`.
//!
//! The socket's mode says the same; this holds also when somebody has loosened the mode. Who is in the group is read once:
//! a process learns of its new groups at its next login, too.

use std::collections::BTreeSet;

use nix::unistd::{Group, User};

/// Members of it may speak to the daemon.
pub(super) const GROUP: &str = "smtpgate";

#[derive(Clone, Debug, Default)]
pub(super) struct Peers {
    /// The daemon's own user.
    own: u32,
    /// The group, where this host has it.
    group: Option<u32>,
    /// Its members.
    members: BTreeSet<u32>,
}

impl Peers {
    pub(super) fn of_this_host() -> Self {
        let own = nix::unistd::geteuid().as_raw();
        let Ok(Some(group)) = Group::from_name(GROUP) else {
            return Self { own, ..Self::default() };
        };
        let uid = |name: &String| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        Self {
            own,
            group: Some(group.gid.as_raw()),
            members: group.mem.iter().filter_map(uid).collect(),
        }
    }

    pub(super) fn group(&self) -> Option<u32> {
        self.group
    }

    pub(super) fn is_own(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }

    /// Whether a peer with this user and primary group may speak; why not.
    pub(super) fn admit(&self, uid: u32, gid: u32) -> Result<(), String> {
        if self.is_own(uid) || self.group == Some(gid) || self.members.contains(&uid) {
            return Ok(());
        }
        Err(match self.group {
            Some(_) => format!(
                "user {uid} is not in the group {GROUP}: `usermod --append --groups {GROUP} USER`, then restart smtpgate"
            ),
            None => format!("user {uid} is not root, and there is no group {GROUP} on this host"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_root_the_own_user_and_the_group() {
        let none = Peers {
            own: 990,
            ..Peers::default()
        };
        let group = Peers {
            own: 990,
            group: Some(64),
            members: BTreeSet::from([1001]),
        };
        for (case, peers, uid, gid, admitted) in [
            ("root", &none, 0, 0, true),
            ("own user", &none, 990, 990, true),
            ("a user, no group", &none, 1001, 1001, false),
            ("a user in root's group, no group", &none, 1001, 0, false),
            ("a member", &group, 1001, 1001, true),
            ("by primary group", &group, 1002, 64, true),
            ("no member", &group, 1002, 1002, false),
        ] {
            assert_eq!(peers.admit(uid, gid).is_ok(), admitted, "{case}");
        }
        assert!(group.admit(1002, 1002).unwrap_err().contains("usermod"));
    }
}
