//! What follows from what was found: attachments, what is closed, and problems.

use podwall_compiler::{Attachment, Closed};
use podwall_policy::{ObjectKey, Problem};
use podwall_ruleset::{HardwareAddress, InterfaceName};

use super::finder::{Binding, Entry, Finder};
use super::links::{LinkKind, Links};
use super::problem::{Trouble, describe};

impl Finder {
    /// What is closed though no known pod is behind it: what pods left behind, and what cannot be told whose it is.
    pub fn closed(&self, links: &Links) -> Closed {
        let mut closed = Closed::default();
        for (index, binding) in self.bindings.iter().filter(|(_, binding)| binding.orphan) {
            match links.link(*index).map(|link| link.master) {
                Some(None) => closed.interfaces.extend(interface_name(links, *index)),
                _ => {
                    let unclaimed = binding.addresses.iter().filter(|it| !self.claims.contains_key(it));
                    closed.addresses.extend(unclaimed);
                }
            }
        }
        let troubles = self.pods.values().filter_map(|entry| entry.trouble.as_ref());
        for index in troubles.flat_map(|trouble| trouble.doubtful(|index| self.is_free(index))) {
            closed.interfaces.extend(interface_name(links, index));
        }
        closed
    }

    /// What could not be found or told apart: at most one for each pod.
    pub fn problems(&self, links: &Links) -> Vec<Problem> {
        let has_problem = |entry: &&Entry| entry.overdue || entry.trouble != Some(Trouble::Missing);
        let problem = |(key, entry): (&ObjectKey, &Entry)| {
            let trouble = Some(entry).filter(has_problem)?.trouble.as_ref()?;
            Some(describe(key, trouble, links))
        };
        self.pods.iter().filter_map(problem).collect()
    }

    /// The attachments of all pods that were touched.
    pub(super) fn settle_attachments(&mut self, links: &Links) {
        for key in &self.touched {
            let Some(entry) = self.pods.get_mut(key) else { continue };
            let Some(index) = entry.interface else {
                entry.attachment = None;
                continue;
            };
            (entry.since, entry.overdue) = (None, false);
            match attachment(index, &self.bindings[&index], links) {
                Ok((attachment, trouble)) => {
                    entry.attachment = Some(attachment);
                    entry.trouble = trouble.or(entry.trouble.take().filter(|it| !it.is_of_link()));
                }
                Err(trouble) => (entry.attachment, entry.trouble) = (None, Some(trouble)),
            }
        }
    }
}

/// How a pod is attached by an interface, and what is odd about it all the same.
fn attachment(
    index: u32,
    binding: &Binding,
    links: &Links,
) -> Result<(Attachment, Option<Trouble>), Trouble> {
    let link = links.link(index).ok_or(Trouble::Missing)?;
    let name = interface_name(links, index).ok_or(Trouble::Name(index))?;
    let Some(master) = link.master else { return Ok((Attachment::Routed(name), None)) };
    if links.link(master).is_some_and(|master| master.kind != LinkKind::Bridge) {
        return Err(Trouble::Master { interface: index, master });
    }
    let trouble = binding.hardware_taken.then_some(Trouble::Hardware(index));
    // No frame comes from this one, so the port is closed.
    let hardware_address = match trouble {
        Some(_) => Some(HardwareAddress([0; 6])),
        None => binding.hardware_address,
    };
    Ok((Attachment::Bridged { port: name, hardware_address }, trouble))
}

fn interface_name(links: &Links, index: u32) -> Option<InterfaceName> {
    links.link(index).and_then(|link| InterfaceName::new(&link.name).ok())
}
