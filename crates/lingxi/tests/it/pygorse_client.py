"""Gorse's published client against a Lingxi server: every call of it, and what must hold after each."""

import asyncio
import sys

from gorse import AsyncGorse, Gorse, GorseException

ADDRESS = f"http://{sys.argv[1]}"
client = Gorse(ADDRESS, "no-key-on-loopback")
held = 0


def check(holds, what):
    global held
    held += 1
    if not holds:
        raise SystemExit(f"FAILED: {what}")


def refused(call, status, what):
    try:
        call()
    except GorseException as refusal:
        check(refusal.status_code == status, f"{what}: {refusal.status_code} {refusal.message}")
    else:
        check(False, what)


# users
ann = {"UserId": "ann", "Labels": {"gender": "F", "interests": ["tea"]}, "Comment": "first"}
check(client.insert_user(ann)["RowAffected"] == 1, "insert_user")
check({**client.get_user("ann"), **ann} == client.get_user("ann"), "get_user gives back what was said")
check(client.insert_users([{"UserId": f"u{i}", "Labels": ["a", "b"]} for i in range(25)])["RowAffected"] == 25, "insert_users")
names, cursor = [], ""
while True:
    users, cursor = client.get_users(40, cursor)
    names += [user["UserId"] for user in users]
    if not cursor:
        break
check(len(names) == len(set(names)) and {"ann", "u0", "u24", "tea-lover-0"} <= set(names), "get_users, all pages")

# items
kettle = {"ItemId": "kettle", "IsHidden": False, "Labels": {"topics": ["steel"]}, "Categories": ["kitchen"],
          "Timestamp": "2024-02-02T00:00:00Z", "Comment": "a steel kettle for tea"}
check(client.insert_item(kettle)["RowAffected"] == 1, "insert_item")
check({**client.get_item("kettle"), **kettle} == client.get_item("kettle"), "get_item gives back what was said")
check(client.update_item("kettle", comment="an enamel kettle for tea")["RowAffected"] == 1, "update_item")
check(client.get_item("kettle")["Comment"] == "an enamel kettle for tea", "the comment was changed")
check(client.get_item("kettle")["Categories"] == ["kitchen"], "and nothing else")
check("kettle" in [item["ItemId"] for item in client.search_items("enamel kettle", 3)], "search_items")
goods, cursor = [], ""
while True:
    items, cursor = client.get_items(13, cursor)
    goods += [item["ItemId"] for item in items]
    if not cursor:
        break
check(len(goods) == len(set(goods)) == 61, "get_items, all pages")

# feedback
at = "2023-11-15T10:00:00Z"
check(client.insert_feedback("read", "ann", "bolt-1", at)["RowAffected"] == 1, "insert_feedback")
rows = [{"FeedbackType": "star", "UserId": "ann", "ItemId": f"bolt-{i}", "Timestamp": at} for i in range(2, 5)]
check(client.insert_feedbacks(rows)["RowAffected"] == 3, "insert_feedbacks")
check(len(client.list_feedbacks("star", "ann")) == 3 and len(client.list_feedbacks("read", "ann")) == 1, "list_feedbacks")
feedback, cursor = client.get_feedbacks(3)
rest, end = client.get_feedbacks(3, cursor)
check(len(feedback) == 3 and len(rest) == 1 and not end, "get_feedbacks, two pages")
check(client.delete_feedback("ann", "bolt-2")["RowAffected"] == 1, "delete_feedback")
check(len(client.list_feedbacks("star", "ann")) == 2, "it is gone")

# recommendations
slate = client.get_recommend("ann", n=5)
check(len(slate) == 5 and all(place.id.startswith("bolt") for place in slate), "get_recommend: bolts for who likes bolts")
check([p.score for p in slate] == sorted((p.score for p in slate), reverse=True), "scores fall")
check([p.id for p in client.get_recommend("ann", n=3, offset=2)] == [p.id for p in slate[2:]], "get_recommend with offset")
check([p.id for p in client.get_recommend("ann", category="kitchen", n=5)] == ["kettle"], "get_recommend in a category")
first = [p.id for p in client.get_recommend("ann", n=4, write_back_type="read", write_back_delay="0s")]
second = [p.id for p in client.get_recommend("ann", n=4)]
check(not set(first) & set(second), "what was written back is not shown again")
later = [p.id for p in client.get_recommend("ann", n=2, write_back_type="read", write_back_delay="10m")]
check([p.id for p in client.get_recommend("ann", n=2)] == later, "with a delay it is, until then")
session = client.session_recommend([{"FeedbackType": "read", "UserId": "", "ItemId": "soap-3", "Timestamp": at}], 4)
check(len(session) == 4 and all(item["Id"].startswith("soap") for item in session), "session_recommend")
near = client.get_neighbors("tea-4", 6)
check(len(near) == 6 and client.get_neighbors("tea-4", 3, 3) == near[3:], "get_neighbors with offset")

# away with them
check(client.update_item("kettle", is_hidden=True)["RowAffected"] == 1, "update_item hides")
check(client.get_recommend("ann", category="kitchen") == [], "a hidden item is not shown")
check(client.delete_item("kettle")["RowAffected"] == 1, "delete_item")
refused(lambda: client.get_item("kettle"), 404, "a deleted item is not found")
check(client.delete_user("ann")["RowAffected"] == 1, "delete_user")
refused(lambda: client.get_user("ann"), 404, "a deleted user is not found")
check(client.list_feedbacks("read", "ann") == [], "and what they did is gone")
refused(lambda: client.insert_feedback("teleport", "ann", "bolt-1", at), 400, "an unknown type is refused")


async def asynchronous():
    other = AsyncGorse(ADDRESS, "")
    check((await other.insert_user({"UserId": "bob", "Labels": None}))["RowAffected"] == 1, "async insert_user")
    check((await other.get_user("bob"))["UserId"] == "bob", "async get_user")
    check((await other.insert_feedback("like", "bob", "tea-1", at))["RowAffected"] == 1, "async insert_feedback")
    check(len(await other.get_recommend("bob", n=3)) == 3, "async get_recommend")
    check(len(await other.get_neighbors("tea-1", 2)) == 2, "async get_neighbors")
    check((await other.delete_user("bob"))["RowAffected"] == 1, "async delete_user")


asyncio.run(asynchronous())
print(f"{held} statements about the answers to pygorse hold")
