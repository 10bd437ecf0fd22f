//! Variables of a system that gaggle stands in for: a pod that ran a gossipcar keeps its manifest.
//!
//! They count only if one of the two is there that no pod has by chance, `CLIENT_PORT` or
//! `SERVICE_DNS_NAME`: `MY_POD_NAME` alone is in many manifests and means nothing to us. Each
//! stands behind our own variable of the same meaning, and before the file.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::layers::Environment;
use super::setting::Setting;
use super::settings as s;

/// A value that a foreign variable gives to a setting of ours.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    /// The variable that it comes from.
    pub(super) variable: &'static str,
    /// The value, as our own variable would have it.
    pub(super) text: OsString,
}

/// What foreign variables say, by the setting's name, and what is to be told about them. None of
/// them is confidential.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIn {
    values: BTreeMap<&'static str, Stand>,
    notices: Vec<String>,
}

const CLIENT_PORT: &str = "CLIENT_PORT";
const SERVICE_DNS_NAME: &str = "SERVICE_DNS_NAME";
const MY_POD_IP: &str = "MY_POD_IP";
const MY_POD_NAME: &str = "MY_POD_NAME";
const PEER_PORT: &str = "PEER_PORT";
/// Where a gossipcar listens if nothing is said.
const ITS_PORT: &str = "80";

impl StandIn {
    /// Reads the variables of a gossipcar, if this is to stand in for one.
    pub(super) fn new(environment: Environment<'_>) -> Self {
        let given = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut found = Self::default();
        // Kubernetes sets CLIENT_PORT=tcp://… in every pod beside a Service of the name "client".
        let is_link = |port: &OsString| port.to_string_lossy().contains("://");
        let port = given(CLIENT_PORT).filter(|port| !is_link(port));
        let service = given(SERVICE_DNS_NAME);
        match (port, &service) {
            (None, None) => return found,
            (Some(port), _) => found.take(&s::MAP_LISTEN, CLIENT_PORT, port),
            (None, Some(_)) => found.take(&s::MAP_LISTEN, SERVICE_DNS_NAME, ITS_PORT.into()),
        }
        if let Some(service) = service {
            let mut ways = OsString::from("multicast,dns:");
            ways.push(service);
            found.take(&s::DISCOVER, SERVICE_DNS_NAME, ways);
        }
        for (variable, setting) in [(MY_POD_IP, &s::ADVERTISE), (MY_POD_NAME, &s::NAME)] {
            if let Some(value) = given(variable) {
                found.take(setting, variable, value);
            }
        }
        if let Some(port) = given(PEER_PORT) {
            found.notices.push(format!(
                "{PEER_PORT}={} is not used: members speak to each other over HTTPS at --listen, \
                 and by UDP at --discovery-port",
                port.to_string_lossy()
            ));
        }
        found
    }

    fn take(&mut self, setting: &'static Setting, variable: &'static str, text: OsString) {
        self.values.insert(setting.name, Stand { variable, text });
    }

    /// What they say about a setting.
    pub(super) fn find(&self, setting: &Setting) -> Option<&Stand> {
        self.values.get(setting.name)
    }

    /// What is to be told in the log, in whole sentences.
    pub(super) fn notices(&self) -> &[String] {
        &self.notices
    }
}

/// Whether a variable is one of these.
pub(super) fn is_foreign(variable: &str) -> bool {
    let all = [CLIENT_PORT, SERVICE_DNS_NAME, MY_POD_IP, MY_POD_NAME];
    all.contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Setting and value and where it comes from, by these variables.
    fn stands(variables: &[(&str, &str)]) -> Vec<(&'static str, String, &'static str)> {
        let found = found(variables);
        let shown = |(name, stand): (&&'static str, &Stand)| {
            let text = stand.text.to_string_lossy().into_owned();
            (*name, text, stand.variable)
        };
        found.values.iter().map(shown).collect()
    }

    fn found(variables: &[(&str, &str)]) -> StandIn {
        StandIn::new(&|name| {
            let pair = variables.iter().find(|(given, _)| *given == name);
            pair.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn a_gossipcars_environment_becomes_settings_of_ours() {
        let all = [
            ("CLIENT_PORT", "8080"),
            ("SERVICE_DNS_NAME", "gossip.default.svc.cluster.local"),
            ("MY_POD_IP", "10.1.2.3"),
            ("MY_POD_NAME", "car-0"),
            ("PEER_PORT", "46747"),
        ];
        let expected = [
            ("advertise", "10.1.2.3", "MY_POD_IP"),
            (
                "discover",
                "multicast,dns:gossip.default.svc.cluster.local",
                "SERVICE_DNS_NAME",
            ),
            ("map-listen", "8080", "CLIENT_PORT"),
            ("name", "car-0", "MY_POD_NAME"),
        ];
        let expected = expected.map(|(name, text, variable)| (name, text.to_owned(), variable));
        assert_eq!(stands(&all), expected);
        let told = found(&all).notices().join("\n");
        assert!(told.starts_with("PEER_PORT=46747 is not used"), "{told}");
    }

    #[test]
    fn the_port_is_the_usual_one_if_only_the_service_is_named() {
        let found = stands(&[("SERVICE_DNS_NAME", "gossip"), ("CLIENT_PORT", "")]);
        let port = ("map-listen", "80".to_owned(), "SERVICE_DNS_NAME");
        assert!(found.contains(&port), "{found:?}");
    }

    #[test]
    fn what_many_pods_have_means_nothing_by_itself() {
        let pod = [
            ("MY_POD_IP", "10.1.2.3"),
            ("MY_POD_NAME", "x"),
            ("PEER_PORT", "1"),
        ];
        assert!(stands(&pod).is_empty());
        assert!(found(&pod).notices().is_empty());
    }

    #[test]
    fn what_kubernetes_sets_for_a_service_named_client_means_nothing() {
        let link = ("CLIENT_PORT", "tcp://10.96.0.17:80");
        assert_eq!(stands(&[link, ("MY_POD_NAME", "a-0")]), []);
        let with_name = stands(&[link, ("SERVICE_DNS_NAME", "car.svc")]);
        let port = with_name.iter().find(|(name, ..)| *name == "map-listen");
        assert_eq!(port.unwrap().1, ITS_PORT);
    }
}
