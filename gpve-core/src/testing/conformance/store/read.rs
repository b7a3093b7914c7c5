use super::{StoreFixture, key};
use crate::ports::{Entry, Key, ListRequest, Revision, StoreError, Txn};

pub(super) async fn a_list_is_the_keys_with_the_prefix_in_order(to: &StoreFixture) {
    let empty = to.store.list(ListRequest::default()).await.expect("an empty store lists");
    assert!(empty.entries.is_empty() && !empty.more && empty.revision == Revision(0));
    for at in ["/g/2", "/g/10", "/g", "/h", "/g/1", "/g-x", "/g/ä"] {
        to.put(at, at).await;
    }
    to.commit(Txn::delete(key("/g/1"))).await;
    let listed = async |prefix: &str| {
        let listing = to.store.list(ListRequest::prefix(prefix)).await.expect("a list is served");
        assert_eq!(listing.revision, Revision(8), "the listing names the revision it shows");
        assert!(listing.entries.iter().all(|e| &e.value[..] == e.key.as_str().as_bytes()), "values come along");
        names(&listing.entries)
    };
    assert_eq!(listed("/g/").await, ["/g/10", "/g/2", "/g/ä"], "in byte order");
    assert_eq!(listed("/g").await, ["/g", "/g-x", "/g/10", "/g/2", "/g/ä"], "a prefix is text, not a directory");
    assert_eq!(listed("").await, ["/g", "/g-x", "/g/10", "/g/2", "/g/ä", "/h"]);
    assert_eq!(listed("/nothing").await, [""; 0]);
    let long = to.store.list(ListRequest::prefix("/".repeat(Key::MAX_BYTES + 1))).await;
    assert!(matches!(long, Err(StoreError::Invalid(_))), "no key can have such a prefix: {long:?}");
}

pub(super) async fn pages_join_to_the_whole_list(to: &StoreFixture) {
    for n in 0..10 {
        to.put(&format!("/p/{n}"), "").await;
    }
    to.put("/q", "").await;
    let mut request = ListRequest { prefix: "/p/".to_owned(), after: None, limit: 4 };
    let mut seen = Vec::new();
    loop {
        let page = to.store.list(request.clone()).await.expect("a page is served");
        assert!(page.entries.len() <= 4, "a page holds at most its limit");
        request.after = page.entries.last().map(|e| e.key.clone());
        seen.extend(names(&page.entries));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (0..10).map(|n| format!("/p/{n}")).collect::<Vec<_>>());
    request.limit = 1;
    request.after = Some(key("/p/8"));
    assert!(!to.store.list(request.clone()).await.unwrap().more, "nothing follows the last key");
    request.after = Some(key("/a"));
    assert_eq!(names(&to.store.list(request.clone()).await.unwrap().entries), ["/p/0"], "after a key before the prefix");
    request.after = Some(key("/z"));
    assert_eq!(names(&to.store.list(request).await.unwrap().entries), [""; 0], "after a key beyond the prefix");
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|e| e.key.to_string()).collect()
}
