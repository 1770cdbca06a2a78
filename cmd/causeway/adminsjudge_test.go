package main

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"causeway/pkg/catalog"
)

// catalogLine is one record about a subscription, as it stands in the catalog's topic.
type catalogLine struct {
	offset, marker    int64 // its own, and that of the end of its transaction
	uid, name, change string
	gone              bool
	url, set          string
	paused            bool
	before            *catalogLine // of the same subscription
	call              *adminCall
}

// token is what the change that made this form was known by.
func (w *catalogLine) token() string { return strings.TrimPrefix(w.url, adminURL("")) }

// catalogRecord is what of a record's value counts here, read by other code than the
// one under test.
type catalogRecord struct {
	Name   string `json:"name"`
	Set    string `json:"set"`
	Paused bool   `json:"paused"`
	Spec   struct {
		URL string `json:"url"`
	} `json:"spec"`
}

// whole reads a topic from its start to its end, control records too.
func (f *fleet) whole(topic string, each func(*kgo.Record)) {
	f.t.Helper()
	client := f.kafka(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	ends, err := kadm.NewClient(client).ListCommittedOffsets(f.t.Context(), topic)
	if err != nil {
		f.t.Fatal(err)
	}
	open := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			open[o.Partition] = o.Offset
		}
	})
	ctx, cancel := context.WithTimeout(f.t.Context(), 2*time.Minute)
	defer cancel()
	for len(open) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			f.t.Fatalf("%s could not be read to its end: %v", topic, open)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			each(r)
			if r.Offset+1 >= open[r.Partition] {
				delete(open, r.Partition)
			}
		})
	}
}

// history is every record about subscriptions, by transaction.
func (f *fleet) history() (transactions [][]*catalogLine) {
	f.t.Helper()
	last := map[string]*catalogLine{}
	var pending []*catalogLine
	f.whole(f.prefix+"catalog", func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			for _, w := range pending {
				w.marker = r.Offset
			}
			if len(pending) > 0 {
				transactions = append(transactions, pending)
			}
			pending = nil
			return
		}
		uid, ok := strings.CutPrefix(string(r.Key), "subscription/")
		if !ok {
			return
		}
		w := &catalogLine{offset: r.Offset, uid: uid, before: last[uid], gone: r.Value == nil}
		for _, h := range r.Headers {
			if h.Key == "causeway-change" {
				w.change = string(h.Value)
			}
		}
		if !w.gone {
			var value catalogRecord
			if err := json.Unmarshal(r.Value, &value); err != nil {
				f.t.Fatalf("record %d of the catalog: %v", r.Offset, err)
			}
			w.name, w.set, w.url, w.paused = value.Name, value.Set, value.Spec.URL, value.Paused
		}
		last[uid] = w
		pending = append(pending, w)
	})
	if len(pending) > 0 {
		f.t.Errorf("%d records at the end belong to no transaction", len(pending))
	}
	return transactions
}

// judgeAdmins compares the ledger with the topic.
func (f *fleet) judgeAdmins(l *adminLoad) {
	f.t.Helper()
	transactions := f.history()
	l.last = map[string]*catalogLine{}
	changes := map[string]bool{}
	for _, tx := range transactions {
		if changes[tx[0].change] {
			f.t.Errorf("the change %s was written twice, again at %d", tx[0].change, tx[0].offset)
		}
		changes[tx[0].change] = true
		for _, w := range tx {
			if w.change != tx[0].change {
				f.t.Errorf("the transaction that ends at %d holds two changes", w.marker)
			}
			if l.last[w.uid] = w; w.gone {
				delete(l.last, w.uid)
			}
		}
		l.wholeSet(tx[0].marker)
		l.uniqueNames(tx[0].marker)
	}
	l.place(transactions)
	l.inOrder()
	f.judgeAudit(transactions)
}

// wholeSet fails the test unless the set, as it is after a transaction, is what one
// call has made of it.
func (l *adminLoad) wholeSet(marker int64) {
	tokens := map[string]int{}
	for _, w := range l.last {
		if w.set == adminTeam {
			tokens[w.token()]++
		}
	}
	if len(tokens) > 1 {
		l.f.t.Errorf("after %d the set is made of several: %v", marker, tokens)
	}
	for token, n := range tokens {
		i := slices.IndexFunc(l.calls, func(c adminCall) bool { return c.what == "apply" && c.token == token })
		if i < 0 || l.calls[i].entries != n {
			l.f.t.Errorf("after %d the set has %d entries of %s, which is not what was applied", marker, n, token)
		}
	}
}

// uniqueNames fails the test when two entries have one name.
func (l *adminLoad) uniqueNames(marker int64) {
	names := map[string]string{}
	for uid, w := range l.last {
		if other := names[w.name]; other != "" {
			l.f.t.Errorf("after %d, %s and %s are both called %s", marker, uid, other, w.name)
		}
		names[w.name] = uid
	}
}

// place finds for each call what it has written, and judges its outcome by that.
func (l *adminLoad) place(transactions [][]*catalogLine) {
	byToken, byVersion, removed := map[string][]*catalogLine{}, map[int64]*catalogLine{}, map[string]*catalogLine{}
	var flips []*catalogLine // pauses and resumes
	for _, tx := range transactions {
		for i, w := range tx {
			byVersion[w.offset+1] = w
			switch {
			case w.gone && w.before != nil && w.before.set == "":
				removed[w.uid] = w
			case w.gone:
			case w.before != nil && !w.before.gone && w.before.url == w.url:
				flips = append(flips, w)
			case w.set == "" || i == 0 || tx[0].token() != w.token(): // of a set, the first stands for all
				byToken[w.token()] = append(byToken[w.token()], w)
			}
		}
	}
	claim := func(c *adminCall, w *catalogLine) {
		if w.call != nil {
			l.f.t.Errorf("record %d was made by two calls: %v; and %v", w.offset, w.call, c)
		}
		w.call = c
	}
	unknownFlips := map[string]int{} // by uid and what
	// Those that were acknowledged first: of two that removed one entry it was theirs.
	calls := make([]*adminCall, 0, len(l.calls))
	for _, first := range []bool{true, false} {
		for i := range l.calls {
			if (l.calls[i].outcome == acknowledged) == first {
				calls = append(calls, &l.calls[i])
			}
		}
	}
	for _, c := range calls {
		var found *catalogLine
		switch c.what {
		case "pause", "resume":
			if c.outcome == unknown {
				unknownFlips[c.what+" "+c.uid]++
			}
			if c.outcome != acknowledged {
				continue
			}
			w := byVersion[c.version]
			if w == nil || w.uid != c.uid || w.paused != (c.what == "pause") {
				l.f.t.Errorf("%v: the topic has %+v there", c, w)
				continue
			}
			if slices.Contains(flips, w) && w.call == nil {
				found = w // otherwise it was so already
			}
		case "delete":
			// Of several whose answers were lost, it was one that had seen what it removed.
			w := removed[c.uid]
			fits := w != nil && w.call == nil && (c.match == 0 || w.before.offset+1 == c.match)
			if c.outcome == acknowledged || c.outcome == unknown && fits {
				found = w
			}
		default:
			if n := len(byToken[c.token]); n > 1 {
				l.f.t.Errorf("%v: it was written %d times", c, n)
			} else if n == 1 {
				found = byToken[c.token][0]
			}
		}
		if found == nil {
			if c.outcome == acknowledged && c.what != "pause" && c.what != "resume" {
				l.f.t.Errorf("%v: the topic does not have it", c)
			}
			continue
		}
		claim(c, found)
		l.agrees(c, found)
	}
	for _, w := range flips {
		what := map[bool]string{true: "pause ", false: "resume "}[w.paused]
		if w.call == nil {
			if unknownFlips[what+w.uid]--; unknownFlips[what+w.uid] < 0 {
				l.f.t.Errorf("record %d says %s%s, which nobody has asked for", w.offset, what, w.uid)
			}
		}
	}
	for _, w := range removed {
		if w.call == nil {
			l.f.t.Errorf("record %d removes %s, which nobody has asked for", w.offset, w.uid)
		}
	}
	for _, list := range byToken {
		for _, w := range list {
			if w.call == nil {
				l.f.t.Errorf("record %d (%s) was made by no call", w.offset, w.url)
			}
		}
	}
}

// agrees judges a call by what it has written.
func (l *adminLoad) agrees(c *adminCall, w *catalogLine) {
	if c.outcome == refused {
		l.f.t.Errorf("%v: it was refused, and is in the topic at %d", c, w.offset)
	}
	if c.match != 0 && (w.before == nil || w.before.gone || w.before.offset+1 != c.match) {
		l.f.t.Errorf("%v: it was written over %+v, which its client had not seen", c, w.before)
	}
	want := w.offset + 1
	if c.what == "apply" {
		want = w.marker + 1
	}
	if c.outcome == acknowledged && c.version != 0 && c.version != want {
		l.f.t.Errorf("%v: it has version %d in the topic", c, want)
	}
	c.at = want
}

// inOrder fails the test where a change was written before one that had been
// acknowledged when it was asked for, and where a client saw versions that do not rise.
func (l *adminLoad) inOrder() {
	seen := map[int]int64{} // by client
	for i := range l.calls {
		c := &l.calls[i] // of one client in the order of its calls
		if c.at == 0 {
			continue // not in the topic
		}
		if c.outcome == acknowledged {
			if c.at <= seen[c.client] {
				l.f.t.Errorf("%v: the client saw version %d before", c, seen[c.client])
			}
			seen[c.client] = c.at
		}
	}
	placed := slices.DeleteFunc(slices.Clone(l.calls), func(c adminCall) bool { return c.at == 0 })
	slices.SortFunc(placed, func(a, b adminCall) int { return cmp.Compare(b.at, a.at) })
	var first *adminCall // to be acknowledged, of those behind
	for i := range placed {
		c := &placed[i]
		if first != nil && first.ended.Before(c.begun) {
			l.f.t.Errorf("%v; was written before what had been acknowledged by then: %v", c, first)
		}
		if c.outcome == acknowledged && (first == nil || c.ended.Before(first.ended)) {
			first = c
		}
	}
}

// judgeAudit compares the audit topic with the catalog's: each record of this one has
// one of that, in the same order.
func (f *fleet) judgeAudit(transactions [][]*catalogLine) {
	f.t.Helper()
	want, got := map[string][]string{}, map[string][]string{}
	for _, tx := range transactions {
		for _, w := range tx {
			want[w.uid] = append(want[w.uid], w.audited())
		}
	}
	f.whole(f.prefix+"audit", func(r *kgo.Record) {
		if r.Attrs.IsControl() {
			return
		}
		var a catalog.AuditRecord
		if err := json.Unmarshal(r.Value, &a); err != nil {
			f.t.Fatalf("record %d of the audit: %v", r.Offset, err)
		}
		if a.Kind != catalog.KindSubscription {
			return
		}
		text := a.Action
		for _, d := range a.Fields {
			if d.Path == "url" && d.After != nil {
				var url string
				if err := json.Unmarshal(d.After, &url); err != nil {
					f.t.Error(err)
				}
				text += " " + url
			}
		}
		got[a.UID] = append(got[a.UID], text)
	})
	records := 0
	for uid, list := range want {
		records += len(list)
		if !slices.Equal(list, got[uid]) {
			f.t.Errorf("%s was changed like this: %v, and audited like this: %v", uid, list, got[uid])
		}
		delete(got, uid)
	}
	for uid, list := range got {
		f.t.Errorf("%s was audited and never changed: %v", uid, list)
	}
	f.t.Logf("%d transactions with %d records, each audited", len(transactions), records)
}

// audited is how the audit calls what a record has done.
func (w *catalogLine) audited() string {
	switch {
	case w.gone:
		return "subscription.delete"
	case w.before == nil:
		return "subscription.create " + w.url
	case w.before.url != w.url:
		return "subscription.update " + w.url
	case w.paused:
		return "subscription.pause"
	default:
		return "subscription.resume"
	}
}
