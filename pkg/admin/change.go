package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

const (
	updateTimeout = 10 * time.Second
	applyTimeout  = time.Minute
	tries         = 5
)

// plan works out a change from the catalog as it is, and may be called again with a
// newer one.
type plan func(*catalog.State) (catalog.Changes, error)

// changing is one change on its way into the catalog.
type changing struct {
	s       *Server
	v       *visit
	plan    plan
	action  string        // of the audit records; "": what each entry's difference is
	timeout time.Duration // of writing; 0: updateTimeout
	// place says where in the request an entry was written down.
	place func(*catalog.Entry) string
	// minds says which faults of an entry count; nil: all. One that is wrong by now, since
	// its source has gone or its secret cannot be read here, can still be paused.
	minds func(catalog.Fault) bool

	// differences are those that the plan of a set found itself; nil: they have to be
	// found.
	differences func() []catalog.Difference
	set         string

	answers  *answers        // what Kafka was asked
	prepared map[string]bool // topics that were made, or were there
	asked    *worked         // what was worked out while Kafka was asked
}

// worked is a change that is whole, and the state that it is for.
type worked struct {
	state   *catalog.State
	changes catalog.Changes
}

// large is how many entries a change must have for it to be worth finding out that
// nobody has changed the catalog, instead of planning it again.
const large = 1000

// holds says whether the change is as good for another state: one with the same
// entries.
func (d *worked) holds(now *catalog.State) bool {
	if d == nil || len(d.changes.Put)+len(d.changes.Remove) < large || d.state.Len() != now.Len() || d.state.Unwritten() != now.Unwritten() {
		return false
	}
	for _, kind := range []catalog.Kind{catalog.KindSource, catalog.KindSubscription, catalog.KindTenant, catalog.KindKey, catalog.KindOrphan} {
		for e := range now.All(kind) {
			if d.state.Entry(kind, e.UID) != e {
				return false
			}
		}
	}
	return true
}

// errAgain means that the catalog has moved on so that more has to be asked of Kafka.
var errAgain = errors.New("the catalog changed meanwhile")

// do makes the change. What Kafka has to be asked, and which topics have to be made, is
// worked out from the catalog as this process knows it, before the catalog is held;
// then the change is planned again with the newest, and when that needs more, all
// begins anew. Only what the newest says is a refusal: this process may be behind.
func (c *changing) do(ctx context.Context) (*catalog.State, error) {
	c.answers, c.prepared = newAnswers(), map[string]bool{}
	c.timeout = max(c.timeout, updateTimeout)
	// Nobody hears the answer of a request that has gone away, but what it asked for is
	// done or not done, and the same request sent again wants to know which.
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), 2*c.timeout) // asking and writing, with all tries
	defer end()
	state := c.s.o.Catalog.State()
	for range tries {
		if err := c.ask(ctx, state); err != nil {
			return nil, err
		}
		var newest *catalog.State
		writing, cancel := context.WithTimeout(ctx, c.timeout)
		done, err := c.s.o.Catalog.Update(writing, func(now *catalog.State) (catalog.Changes, error) {
			newest = now
			if c.asked.holds(now) {
				return c.audited(now, c.asked.changes), nil
			}
			changes, err := c.checked(now)
			if err != nil {
				return catalog.Changes{}, err
			}
			return c.audited(now, changes), nil
		})
		cancel()
		if !errors.Is(err, errAgain) {
			return done, wrote(err)
		}
		state = newest
	}
	return nil, refuse(http.StatusServiceUnavailable, "busy", "others change the catalog all the time: nothing was changed, try again").with("Retry-After", "1")
}

// checked is the planned change with all that is checked and added before it is written.
func (c *changing) checked(state *catalog.State) (catalog.Changes, error) {
	changes, err := c.plan(state)
	if err != nil || len(changes.Put) == 0 && len(changes.Remove) == 0 {
		return changes, err
	}
	checker := catalog.NewChecker(state, c.s.o.Checks)
	if refusals := c.check(checker, changes); len(refusals) > 0 {
		return catalog.Changes{}, c.refused(refusals)
	}
	for _, topic := range fresh(state, changes) {
		if !c.prepared[topic.Name] && c.s.o.Prepare != nil {
			return changes, errAgain
		}
	}
	changes, refusals := c.orphans(checker, changes, c.answers)
	if len(refusals) > 0 {
		return catalog.Changes{}, c.refused(refusals)
	}
	return changes, begin(checker, changes, c.answers)
}

// orphans adds what becomes of the topics that sources leave.
func (c *changing) orphans(checker *catalog.Checker, changes catalog.Changes, kafka questions) (catalog.Changes, []catalog.Refusal) {
	return checker.Orphans(changes, c.v.who, time.Now().UTC(), kafka.drained)
}

// begin says where the entries begin.
func begin(checker *catalog.Checker, changes catalog.Changes, kafka questions) error {
	return checker.Begin(changes, catalog.Logs{Ends: kafka.ends, Committed: kafka.committed})
}

// check gives what is wrong with the changes and counts.
func (c *changing) check(checker *catalog.Checker, changes catalog.Changes) []catalog.Refusal {
	refusals := checker.CheckChanges(changes, c.v.author())
	if c.minds == nil {
		return refusals
	}
	return slices.DeleteFunc(refusals, func(r catalog.Refusal) bool {
		return !slices.ContainsFunc(r.Faults, c.minds)
	})
}

// Of what changes no spec nothing can be wrong, and of a rotation only the new secret.
func nothing(catalog.Fault) bool { return false }

func newSecret(f catalog.Fault) bool { return slices.Equal(f.Path, []string{"secrets", "0"}) }

// ask asks Kafka what a change needs, which is nothing for most. A refusal is left to
// the newest catalog.
func (c *changing) ask(ctx context.Context, state *catalog.State) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	changes, err := c.plan(state)
	if err != nil {
		return nil //nolint:nilerr // said when the newest catalog says it too
	}
	checker := catalog.NewChecker(state, c.s.o.Checks)
	if len(c.check(checker, changes)) > 0 {
		return nil
	}
	if topics := fresh(state, changes); c.s.o.Prepare != nil && len(topics) > 0 {
		if err := c.s.o.Prepare(ctx, topics); err != nil {
			c.s.log.Warn("topics of sources could not be made", zap.String("request", c.v.request), zap.Error(err))
			return refuse(http.StatusConflict, "topic_not_made", "the source was not made, because its topic could not be: %v", err)
		}
		for _, topic := range topics {
			c.prepared[topic.Name] = true
		}
	}
	kafka := &asking{c, ctx}
	changes, refusals := c.orphans(checker, changes, kafka)
	if len(refusals) > 0 {
		return nil
	}
	if err := begin(checker, changes, kafka); err != nil {
		return err
	}
	c.asked = &worked{state, changes}
	return nil
}

// fresh are the topics of the sources that the changes make.
func fresh(state *catalog.State, changes catalog.Changes) []NewTopic {
	var topics []NewTopic
	for _, e := range changes.Put {
		if e.Kind != catalog.KindSource || state.Entry(e.Kind, e.UID) != nil {
			continue
		}
		if spec, err := e.Source(); err == nil {
			topics = append(topics, NewTopic{topicOf(spec), spec.Partitions, spec.ReplicationFactor, int64(spec.MaxBody)})
		}
	}
	return topics
}

func topicOf(spec catalog.SourceSpec) string {
	if spec.Topic != "" {
		return spec.Topic
	}
	return "webhooks." + spec.Name
}

// refused is everything that the checks say, where it was written down.
func (c *changing) refused(refusals []catalog.Refusal) error {
	var all []catalog.Fault
	for _, r := range refusals {
		place, tell := c.place(r.Entry), c.v.teller(r.Entry)
		for _, f := range r.Faults {
			if c.minds != nil && !c.minds(f) {
				continue
			}
			at := place
			path := slices.DeleteFunc(slices.Clone(f.Path), func(part string) bool { return part == "" })
			switch {
			case place == inSecret:
				path = nil
			case len(path) > 0 && path[0] == "owner" && place == inSpec:
				at, path = "body.tenant", nil
			}
			all = append(all, catalog.Fault{Path: append([]string{at}, path...), Text: tell(f.Text)})
		}
	}
	if c.place(refusals[0].Entry) == inPath {
		p := refuse(http.StatusConflict, "in_use", "it cannot be removed: %s", all[0].Text)
		return p
	}
	return invalid(all)
}

// Where an entry of a request stands.
const (
	inSpec   = "body.spec"
	inSecret = "body.secret"
	inPath   = "path"
)

// teller gives texts about an entry as the visitor may read them: how the operator's
// machines name a secret is not a tenant's to know.
func (v *visit) teller(e *catalog.Entry) func(string) string {
	var hidden []string
	if v.tenant != "" {
		for _, text := range secretsOf(e) {
			if strings.HasPrefix(text, sealedScheme) {
				continue
			}
			hidden = append(hidden, text)
			if ref, err := secret.ParseRef(text); err == nil {
				hidden = append(hidden, ref.String()) // a path is written in one way there
			}
		}
	}
	return func(text string) string {
		if slices.ContainsFunc(hidden, func(name string) bool { return strings.Contains(text, name) }) {
			return "this secret cannot be used: send another one, or ask the operator"
		}
		return text
	}
}

func standing(place string) func(*catalog.Entry) string {
	return func(*catalog.Entry) string { return place }
}

// audited is the change with who makes it.
func (c *changing) audited(state *catalog.State, changes catalog.Changes) catalog.Changes {
	like := c.v.audit("")
	if c.differences != nil {
		like.Set = c.set
		changes.Audit = catalog.Audit(c.differences(), like)
		return changes
	}
	add := func(d catalog.Difference, set string) {
		like.Set = set
		records := catalog.Audit([]catalog.Difference{d}, like)
		if c.action != "" {
			records[0].Action = string(d.Kind) + "." + c.action
		}
		changes.Audit = append(changes.Audit, records...)
	}
	for _, e := range changes.Put {
		if e.Kind == catalog.KindOrphan {
			continue // goes with the removal of its source
		}
		add(catalog.Compare(state.Entry(e.Kind, e.UID), e), e.Set)
	}
	for _, e := range changes.Remove {
		if e.Kind == catalog.KindOrphan {
			continue
		}
		add(catalog.Compare(e, nil), e.Set)
	}
	return changes
}

// audit is a record of what the visitor does.
func (v *visit) audit(action string) catalog.AuditRecord {
	return catalog.AuditRecord{At: time.Now(), Who: v.who, Tenant: v.tenant, Action: action, Request: v.request, Remote: v.remote}
}

// author is the visitor as the checks know him.
func (v *visit) author() catalog.Author {
	return catalog.Author{Tenant: v.tenant, References: v.tenant == "" && v.rights[mayReference], AllReferences: v.insider}
}

// errWrite is an error of the catalog itself, not of what was to be written.
type errWrite struct{ error }

func (e errWrite) Unwrap() error { return e.error }

func wrote(err error) error {
	if _, ours := errors.AsType[*Problem](err); err == nil || ours {
		return err
	}
	return errWrite{err}
}

// writeProblem is what is said of an error of the catalog; nil of any other.
func writeProblem(err error) *Problem {
	w, ok := errors.AsType[errWrite](err)
	switch {
	case !ok:
		return nil
	case errors.Is(w, catalog.ErrUnknownOutcome):
		return refuse(http.StatusServiceUnavailable, "unknown_outcome", "the catalog did not confirm the change in time, so it may have been made or not: read it, and try again when it was not made").with("Retry-After", "5")
	case errors.Is(w, catalog.ErrWentBack):
		return refuse(http.StatusServiceUnavailable, "catalog_unavailable", "the catalog's topic does not hold now what this process had read of it: nothing was changed. Try again; where it stays so, the operator has to put it back and restart this process").with("Retry-After", "5")
	case errors.Is(w, catalog.ErrHanging):
		return refuse(http.StatusServiceUnavailable, "catalog_unavailable", "a transaction in the catalog's topic stands before every change: nothing was changed. The operator has to abort it; the condition catalog_followed says how").with("Retry-After", "5")
	default:
		return refuse(http.StatusServiceUnavailable, "catalog_unavailable", "the catalog cannot be written now: nothing was changed, try again").with("Retry-After", "5")
	}
}
