package admin

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"causeway/pkg/catalog"
)

// fill writes subscriptions without asking the API for each.
func (w *world) fill(tenant string, n int) {
	w.t.Helper()
	_, err := w.store.Update(w.t.Context(), func(*catalog.State) (catalog.Changes, error) {
		var changes catalog.Changes
		for i := range n {
			e := &catalog.Entry{Kind: catalog.KindSubscription, UID: catalog.NewUID(), Name: fmt.Sprintf("sub-%03d", n-i), Tenant: tenant}
			if i%2 == 0 {
				e.Set = "even"
			}
			if err := e.SetSpec(catalog.SubscriptionSpec{Name: e.Name, Topics: []string{"webhooks.*"}, URL: "https://x.example.com/"}); err != nil {
				return changes, err
			}
			changes.Put = append(changes.Put, e)
		}
		return changes, nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAListIsWalkedPageByPage(t *testing.T) {
	w := newWorld(t)
	w.fill("", 25)
	w.fill("acme", 25) // of the same names: the uid says which comes first
	var names, uids []string
	query := "?limit=7"
	for {
		page := must[Page[Subscription]](w, 200, "GET", "/subscriptions"+query, "", nil)
		if len(page.Items) > 7 {
			t.Fatalf("%d on a page", len(page.Items))
		}
		for _, sub := range page.Items {
			names, uids = append(names, sub.Spec.Name), append(uids, sub.UID)
		}
		if page.Next == "" {
			break
		}
		query = "?limit=7&cursor=" + url.QueryEscape(page.Next)
	}
	if len(names) != 50 || !slices.IsSorted(names) || len(slices.Compact(slices.Sorted(slices.Values(uids)))) != 50 {
		t.Errorf("walked %d: %q", len(names), names)
	}
	for query, want := range map[string]int{"?tenant=acme": 25, "?set=even": 26, "?tenant=acme&set=even": 13, "?prefix=sub-01": 20, "?tenant=nobody": 0, "?limit=500": 50} {
		if page := must[Page[Subscription]](w, 200, "GET", "/subscriptions"+query, "", nil); len(page.Items) != want || page.Next != "" {
			t.Errorf("%s: %d, want %d", query, len(page.Items), want)
		}
	}
}

func TestACursorThatIsNotOfTheListIsRefused(t *testing.T) {
	w := newWorld(t)
	w.tenant("acme")
	w.fill("acme", 5)
	w.fill("other", 5)
	operators := must[Page[Subscription]](w, 200, "GET", "/subscriptions?limit=1&tenant=other", "", nil).Next
	for name, query := range map[string]string{
		"of another filter": "?cursor=" + operators,
		"of another list":   "?tenant=other&cursor=" + must[Page[Subscription]](w, 200, "GET", "/subscriptions?limit=2", "", nil).Next,
		"no cursor":         "?cursor=next",
		"padded":            "?tenant=other&cursor=" + operators + "%3D",
		"with a line end":   "?tenant=other&cursor=" + operators + "%0A",
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.refusal(400, "bad_cursor", "GET", "/subscriptions"+query, "", nil)
		})
	}
	w.t = t
	// A tenant that forges one for its own list is shown its own list.
	key := w.key("acme", "viewer")
	w.refusal(400, "bad_cursor", "GET", "/subscriptions?tenant=other&cursor="+operators, key, nil)
	forged := position{"", ""}.cursor(listing{listIn{Tenant: "other"}, "subscription", "acme"}.filter())
	if page := must[Page[Subscription]](w, 200, "GET", "/subscriptions?tenant=other&cursor="+forged, key, nil); len(page.Items) != 0 {
		t.Errorf("a forged cursor shows %+v", page)
	}
	forged = position{"", ""}.cursor(listing{listIn{}, "subscription", "acme"}.filter())
	if page := must[Page[Subscription]](w, 200, "GET", "/subscriptions?cursor="+forged, key, nil); len(page.Items) != 5 {
		t.Errorf("a forged cursor shows %+v", page)
	}
}

func TestTopicsArePaged(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.topics[fmt.Sprint("webhooks.", i)] = []int64{1}
	}
	first := must[Page[Topic]](w, 200, "GET", "/topics?limit=3", "", nil)
	second := must[Page[Topic]](w, 200, "GET", "/topics?limit=3&cursor="+first.Next, "", nil)
	if len(first.Items) != 3 || len(second.Items) != 2 || second.Items[0].Name != "webhooks.3" || second.Next != "" {
		t.Errorf("%+v, then %+v", first, second)
	}
	w.refusal(400, "bad_cursor", "GET", "/topics?prefix=w&cursor="+first.Next, "", nil)
}

func FuzzCursor(f *testing.F) {
	filter := listing{listIn{}, "source", ""}.filter()
	f.Add(position{"orders", "0190"}.cursor(filter))
	f.Add(position{}.cursor(filter))
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(append(append([]byte{cursorForm}, filter[:]...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseCursor(text, filter)
		if err == nil && p.cursor(filter) != text {
			t.Errorf("%q and %q are one position", text, p.cursor(filter))
		}
	})
}

// However many large entries there are, an answer has a size.
func TestAPageIsBoundedInBytes(t *testing.T) {
	w := newWorld(t)
	types := make([]string, 2000)
	for i := range types {
		types[i] = fmt.Sprintf("%0100d", i)
	}
	_, err := w.store.Update(w.t.Context(), func(*catalog.State) (catalog.Changes, error) {
		var changes catalog.Changes
		for i := range 40 { // of 200 KiB each
			e := &catalog.Entry{Kind: catalog.KindSubscription, UID: catalog.NewUID(), Name: fmt.Sprintf("sub-%03d", i)}
			if err := e.SetSpec(catalog.SubscriptionSpec{Name: e.Name, Types: types}); err != nil {
				return changes, err
			}
			changes.Put = append(changes.Put, e)
		}
		return changes, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, pages := map[string]bool{}, 0
	for cursor := ""; pages == 0 || cursor != ""; pages++ {
		got := w.ask("GET", "/subscriptions?limit=500&cursor="+cursor, "", nil)
		if got.Body.Len() > 2*mostPage {
			t.Fatalf("a page of %d bytes", got.Body.Len())
		}
		page := must[Page[Subscription]](w, 200, "GET", "/subscriptions?limit=500&cursor="+cursor, "", nil)
		for _, s := range page.Items {
			seen[s.Spec.Name] = true
		}
		cursor = page.Next
	}
	if len(seen) != 40 || pages < 3 {
		t.Errorf("%d entries on %d pages, want 40 on several", len(seen), pages)
	}
}
