//! The ways over real files, and what is kept of what they bring.

use std::time::Duration;

use super::*;
use crate::model::MemberId;

/// News of the only way, within a generous limit.
async fn next(news: &mut mpsc::Receiver<News>) -> News {
    let limit = Duration::from_secs(20);
    let got = tokio::time::timeout(limit, news.recv()).await;
    got.expect("there is news in time").expect("the scout runs")
}

fn started(discover: &str, resolv_conf: &str) -> (Tasks, mpsc::Receiver<News>, Ways) {
    let tasks = Tasks::new();
    let discover: Discover = discover.parse().unwrap();
    let (news, ways, _) = start(&tasks, &discover, resolv_conf.as_ref());
    (tasks, news, ways)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn all_addresses_of_all_hosts_come_out() {
    let (_tasks, mut news, mut ways) =
        started("static:127.0.0.2:9,127.0.0.1:8,127.0.0.1:8", "/nowhere");
    let mut told = vec![];
    for _ in 0..3 {
        let arrived = next(&mut news).await;
        told.extend(ways.take(arrived));
    }
    let expected = ["127.0.0.1:8", "127.0.0.2:9"].map(address);
    assert_eq!(told.last().unwrap(), &expected);
    assert_eq!(ways.reports.len(), 3);
}

#[tokio::test]
async fn a_file_is_waited_for_and_read_again_when_it_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers");
    let discover = format!("file:{}", path.display());
    let (_tasks, mut news, mut ways) = started(&discover, "/nowhere");

    let missing = next(&mut news).await;
    assert_eq!(missing.addresses, None);
    assert!(missing.trouble.is_some(), "it is told that it is missing");
    assert_eq!(ways.take(missing), Some(vec![]));

    std::fs::write(&path, "127.0.0.1:8 # here\nno host\n\n127.0.0.2\n").unwrap();
    let there = loop {
        let there = next(&mut news).await;
        if there.addresses.is_some() {
            break there;
        }
    };
    let trouble = there.trouble.clone().unwrap();
    assert!(trouble.starts_with("line 2: "), "{trouble}");
    let both = ["127.0.0.1:8", "127.0.0.2:8000"].map(address).to_vec();
    assert_eq!(ways.take(there), Some(both.clone()));

    std::fs::remove_file(&path).unwrap();
    let gone = loop {
        let gone = next(&mut news).await;
        if gone.addresses.is_none() {
            break gone;
        }
    };
    assert_eq!(
        ways.take(gone),
        None,
        "a file that is gone takes nobody away"
    );
    assert_eq!(ways.told, Some(both));

    std::fs::write(&path, "127.0.0.3:1\n").unwrap();
    let again = loop {
        let again = next(&mut news).await;
        if again.addresses.is_some() {
            break again;
        }
    };
    assert_eq!(again.trouble, None);
    assert_eq!(ways.take(again), Some(vec![address("127.0.0.3:1")]));
}

#[tokio::test]
async fn without_a_list_of_name_servers_a_name_is_trouble_that_names_the_list() {
    let (_tasks, mut news, mut ways) = started("dns:gaggle.example", "/nowhere/resolv.conf");
    let first = next(&mut news).await;
    assert_eq!(first.addresses, None);
    let trouble = first.trouble.clone().unwrap();
    assert!(trouble.contains("/nowhere/resolv.conf"), "{trouble}");
    ways.take(first);
    assert_eq!(ways.reports[0].trouble, Some(trouble));
    assert!(ways.reports[0].asked.is_some());
}

#[tokio::test]
async fn what_came_of_an_address_stays_with_it() {
    let (_tasks, _news, mut ways) = started("file:/a,file:/b", "/nowhere");
    let brings = |way, addresses: &[&str]| News {
        way,
        addresses: Some(addresses.iter().map(|text| address(text)).collect()),
        trouble: None,
    };
    let (one, two) = (address("10.0.0.1:8000"), address("10.0.0.2:8000"));
    assert_eq!(
        ways.take(brings(0, &["10.0.0.2:8000", "10.0.0.1:8000"])),
        Some(vec![one, two])
    );
    let told = ways.take(brings(1, &["10.0.0.1:8000"]));
    assert_eq!(told, None, "both are known already");
    ways.failed(one, "refused".to_owned());
    ways.tried(one, Some(Outcome::Failed));
    let id = MemberId::from_u64(7);
    ways.tried(two, Some(Outcome::Met(id)));
    ways.tried(address("10.0.0.9:1"), Some(Outcome::Failed));
    let failed = Tried::Failed("refused".to_owned());
    assert_eq!(ways.reports[1].found, [(one, failed.clone())]);
    assert_eq!(ways.take(brings(1, &[])), None);
    assert_eq!(ways.take(brings(0, &["10.0.0.1:8000"])), Some(vec![one]));
    assert_eq!(ways.reports[0].found, [(one, failed)]);
    assert_eq!(*ways.out.borrow(), Arc::new(ways.reports.clone()));
    ways.tried(one, Some(Outcome::Ourselves));
    assert_eq!(ways.reports[0].found, [(one, Tried::Ourselves)]);
}
