"""What the documentation says before its first operation."""

DESCRIPTION = """
Kömek is the exchange through which Red Crescent societies share stock and volunteers: publish
what you have, ask for what you need, offer, accept, dispatch and receive.

### From your key to the first accepted offer

You need two keys to play both sides, one of a society that helps and one of a society that asks.
On your own machine `.venv/bin/komek client create AZE --name ERP --scope all` prints one, and
the same with `TUR` the other. Each step below is a request of this page: open it, press
*Execute*.

1. **Authorize** (the green button under this text) with the key of AZE, then `GET /v1/me`:
   who am I?
2. As AZE, `PUT /v1/my/sites/{ref}` and `PUT /v1/my/stock/{ref}`: a warehouse, and a lot of
   blankets in it. Note the lot's `id`.
3. *Authorize* with the key of TUR. `POST /v1/emergencies`, then `POST /v1/requests` with the
   emergency's `id`: what is needed. Note the `id` of the request and of its first line.
4. As AZE again, `POST /v1/offers` with these three ids. The blankets are reserved at once: nobody
   else can be promised them.
5. As TUR, `POST /v1/offers/{id}/accept`. Then `POST /v1/consignments` (AZE) and so on, down to
   `POST /v1/consignments/{id}/receive` (TUR), where the truck is signed for.

The ids in the examples belong to one story that runs through the whole page; put your own in
their place.

### What holds everywhere

**Repeat safely.** Send an `Idempotency-Key` with every POST. Over a bad link, repeat the call with
the same key and the same body until an answer comes: it takes effect once. A PUT has one effect
anyway.

**Errors** are `application/problem+json` (RFC 9457). Programs switch on `code`; people read
`detail`; `errors` names each field; `type` is a page that says what to do. 409 means that the
present state forbids it, 422 that the input does. After 503 repeat the call when `Retry-After` is
over.

**Limits.** `RateLimit-Policy` and `RateLimit` on each answer tell how many calls your society may
send and what is left. Beyond, and where too many of your calls wait already, comes 429; repeat when
`Retry-After` is over.

**Lists** take `limit` (1 to 200) and `cursor`; `next` is the cursor of the next page, null on the
last one.

**Changes** of what others may change too: send the `ETag` that you read as `If-Match`, and get
412 instead of overwriting what you have not seen.

**Whole lists** go in by `POST /v1/my/stock/import` and `POST /v1/my/volunteers/import`, as CSV,
XLSX or NDJSON, and out by `GET …/export`. Send yours every night: what has not changed is left
alone.

**Quantities** are whole numbers of an item's base unit. Times are RFC 3339 with their offset.

**Keep up** with `GET /v1/events?after=` and `reached` of the last page that you handled, or have
events sent to your own systems by webhooks.
"""

TAGS = [
    ("Access", "Who calls: societies, clients and their keys."),
    ("Catalogue", "Items with packs and substitutes, and skills, in seven languages."),
    ("Transport", "Hubs, the legs between them, and the routes that they make."),
    ("Stock", "Your sites and lots, and the network's stock."),
    ("Volunteers", "Your pools of volunteers, and the network's. No names."),
    ("Emergencies", "The disasters that requests belong to."),
    ("Requests", "Ask for goods and people."),
    ("Matching", "Who can help soonest, with least, and fairly; what if; preparedness."),
    ("Offers", "Answer a request. An offer reserves what it offers."),
    ("Consignments", "Goods on their way, from dispatch to receipt."),
    ("Deployments", "People on their way, from mobilisation to return."),
    ("Board", "What was asked, offered, accepted, dispatched and received."),
    ("Ledger", "Everything that happened, in one order that everybody can check."),
    ("Webhooks", "Have your own systems told, signed by Standard Webhooks 1.0."),
    ("Operations", "Is it alive, is it ready, how does it do. No key needed."),
]
"""In the order of the story."""
