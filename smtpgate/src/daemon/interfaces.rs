//! On which interfaces the gate should be, and putting it there.

use super::{engine::Engine, failure::Failure};
use crate::dataplane::{self, AttachMode};

impl Engine {
    /// The interfaces to guard, whether they exist or not: the configured ones, or all that hold a default route.
    pub(super) fn wanted_interfaces(&self) -> Result<Vec<String>, Failure> {
        if !self.config.interfaces.is_empty() {
            return Ok(self.config.interfaces.clone());
        }
        let netlink = |error| Failure::Failed(format!("netlink: cannot list the interfaces: {error}"));
        let routes = dataplane::default_routes().map_err(netlink)?;
        let names: Vec<String> = dataplane::interfaces()
            .map_err(netlink)?
            .into_iter()
            .filter(|interface| routes.contains(&interface.index))
            .map(|interface| interface.name)
            .collect();
        if names.is_empty() {
            return Err(Failure::Failed(
                "no interface holds a default route: name those to guard by `interfaces = [\"eth0\"]` in the \
                 configuration, or by `--interface eth0`"
                    .to_owned(),
            ));
        }
        Ok(names)
    }

    /// Attaches the gate to all of `wanted` that exist, and takes it off what the configuration no longer names. Returns
    /// what is worth a word.
    ///
    /// # Errors
    /// When the gate is on none of them, or one refuses it.
    pub(super) fn guard(&mut self, wanted: &[String]) -> Result<Vec<String>, Failure> {
        let Some(plane) = &self.plane else {
            return Ok(Vec::new());
        };
        let named = !self.config.interfaces.is_empty();
        let mut notes = Vec::new();
        let mut unguarded = Vec::new();
        for name in wanted {
            match plane.attach(name) {
                Ok(attachment) if attachment.mode == AttachMode::Native => {}
                Ok(attachment) => notes.push(format!(
                    "{name} is guarded in {} mode, which costs more a packet than native XDP{}",
                    attachment.mode,
                    attachment
                        .passed_over
                        .iter()
                        .map(|why| format!("; {why}"))
                        .collect::<String>()
                )),
                Err(error @ dataplane::Error::NoInterface { .. }) => {
                    unguarded.push(format!("{error}; it is guarded as soon as it is there"));
                }
                // Found by its default route, not asked for: what can be guarded shall not wait for it.
                Err(error) if !named && error.is_of_the_link() => {
                    unguarded.push(format!("{name} is NOT guarded: {error}"));
                }
                Err(error) => return Err(Failure::failed(error)),
            }
        }
        if unguarded.len() == wanted.len() {
            return Err(Failure::Failed(unguarded.join("; ")));
        }
        notes.extend(unguarded);
        // Default routes come and go, also while the daemon starts again: only a list in words takes the gate off.
        for attachment in plane.attachments().map_err(Failure::failed)? {
            if named && !wanted.contains(&attachment.interface) {
                plane.detach(&attachment.interface).map_err(Failure::failed)?;
                notes.push(format!("{} is no longer guarded", attachment.interface));
            }
        }
        Ok(notes)
    }

    /// After interfaces or routes have changed: guards those that came. One that lost its default route stays guarded,
    /// since routes come and go, and what was to be refused there still is.
    pub(super) fn follow_interfaces(&mut self) {
        let Ok(wanted) = self.wanted_interfaces() else { return };
        let Some(plane) = &self.plane else { return };
        let Ok(attached) = plane.attachments() else { return };
        for name in wanted
            .iter()
            .filter(|name| attached.iter().all(|known| known.interface != **name))
        {
            match plane.attach(name) {
                Ok(attachment) => tracing::info!("{name} is guarded now, in {} mode", attachment.mode),
                Err(dataplane::Error::NoInterface { .. }) => {}
                Err(error) => tracing::error!("{error}"),
            }
        }
    }
}
