//! The waiting line against a plain list.

use super::*;

#[test]
fn first_come_first_served_and_tickets_die_with_their_wait() {
    let mut queue = Queue::default();
    let a = queue.push(1, 10);
    let b = queue.push(2, 20);
    let c = queue.push(3, 30);
    assert_eq!(queue.nth(1).map(|w| w.client), Some(2));
    assert_eq!(queue.nth(9).map(|w| w.client), Some(3));
    assert_eq!(queue.remove(b), Some(Waiter { client: 2, since: 20 }));
    assert_eq!(queue.remove(b), None);
    let d = queue.push(4, 40); // takes b's slot
    assert_eq!(queue.remove(b), None, "a late ticket must not remove the slot's next user");
    assert_eq!(queue.pop().map(|w| w.client), Some(1));
    assert_eq!(queue.remove(a), None);
    assert_eq!(queue.remove(d).map(|w| w.client), Some(4));
    assert_eq!(queue.remove(c).map(|w| w.client), Some(3));
    assert!(queue.is_empty() && queue.pop().is_none() && queue.first().is_none() && queue.nth(0).is_none());
}

#[test]
fn behaves_as_a_list_and_reuses_its_slots() {
    let mut queue = Queue::default();
    let mut list: Vec<(Ticket, u32)> = Vec::new();
    let mut random = 7u64;
    for step in 0..20_000u32 {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let dice = (random >> 33) as usize;
        match dice % 4 {
            0 | 1 if list.len() < 50 => list.push((queue.push(step, u64::from(step)), step)),
            2 if !list.is_empty() => {
                let (ticket, client) = list.remove(dice / 4 % list.len());
                assert_eq!(queue.remove(ticket).map(|w| w.client), Some(client));
            }
            _ => {
                let expected = (!list.is_empty()).then(|| list.remove(0).1);
                assert_eq!(queue.pop().map(|w| w.client), expected);
            }
        }
        assert_eq!(queue.len() as usize, list.len());
        assert_eq!(queue.first().map(|w| w.client), list.first().map(|&(_, client)| client));
    }
    assert!(queue.slots.len() <= 50, "slots are reused");
}
