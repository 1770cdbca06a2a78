package admin

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

type (
	applyIn  struct{ Body ApplyInput }
	applyOut struct{ Body Applied }
)

// sets is the operation that applies a set.
func (s *Server) sets() {
	register(s, operation{
		id: "apply", method: http.MethodPost, path: "/apply", summary: "Make the entries of a set what the request says, all of them or none",
		needs: []right{mayApply}, operator: true, large: true,
	}, s.apply)
	register(s, operation{
		id: "reseal", method: http.MethodPost, path: "/reseal", summary: "Seal every sealed secret under the first key of CAUSEWAY_KEYS",
		needs: []right{mayReseal}, operator: true,
	}, s.reseal)
}

// applying is one set on its way into the catalog.
type applying struct {
	s      *Server
	v      *visit
	in     *ApplyInput
	places map[entryName]string // in the request

	// of the last plan
	differences []catalog.Difference
}

// entryName is what an entry of a set is known by.
type entryName struct {
	kind         catalog.Kind
	tenant, name string
}

func (s *Server) apply(ctx context.Context, v *visit, in *applyIn) (*applyOut, error) {
	a := &applying{s: s, v: v, in: &in.Body, places: map[entryName]string{}}
	a.find()
	if in.Body.DryRun {
		return a.dry(ctx)
	}
	c := &changing{s: s, v: v, plan: a.plan, timeout: applyTimeout, place: a.place, set: in.Body.Set, differences: func() []catalog.Difference { return a.differences }}
	state, err := c.do(ctx)
	if err != nil {
		return nil, err
	}
	return &applyOut{a.applied(state)}, nil
}

// dry says what would be done. What it is asked for is an answer, not a change, so
// this process's catalog is new enough, and conflicts are part of the answer.
func (a *applying) dry(ctx context.Context) (*applyOut, error) {
	state := a.s.o.Catalog.State()
	c := &changing{s: a.s, v: a.v, place: a.place, answers: newAnswers()}
	changes, err := a.planned(state)
	if err != nil {
		return nil, err
	}
	checker := catalog.NewChecker(state, a.s.o.Checks)
	refusals := checker.CheckChanges(changes, a.v.author())
	if len(refusals) == 0 {
		_, refusals = c.orphans(checker, changes, &asking{c, ctx})
	}
	if len(refusals) > 0 {
		return nil, c.refused(refusals)
	}
	return &applyOut{a.applied(state)}, nil
}

func (a *applying) applied(state *catalog.State) Applied {
	out := Applied{Version: state.Version, Differences: a.differences}
	if out.Differences == nil {
		out.Differences = []catalog.Difference{}
	}
	changed := 0
	for _, d := range out.Differences {
		if d.Action != catalog.ActionRemove {
			changed++
		}
	}
	out.Unchanged = len(a.in.Tenants) + len(a.in.Sources) + len(a.in.Subscriptions) - changed
	return out
}

// plan is planned, with conflicts as a refusal.
func (a *applying) plan(state *catalog.State) (catalog.Changes, error) {
	changes, err := a.planned(state)
	if err != nil {
		return changes, err
	}
	p := refuse(http.StatusConflict, "conflict", "nothing was applied: entries of this set belong to somebody else, or stand in it twice")
	for _, d := range a.differences {
		if d.Action == catalog.ActionConflict {
			p.Errors = append(p.Errors, ProblemItem{Location: a.places[entryName{d.Kind, d.Tenant, d.Name}], Message: d.Text})
		}
	}
	if len(p.Errors) > 0 {
		return catalog.Changes{}, p
	}
	return changes, nil
}

// planned works out the changes. Secrets of entries that are there are sealed before,
// so that one that has not changed is seen to be the same; those of new entries after,
// for they are sealed for an uid which there is only then.
func (a *applying) planned(state *catalog.State) (catalog.Changes, error) {
	now := time.Now()
	set := catalog.Set{Name: a.in.Set, Tenants: a.in.Tenants, Prune: a.in.Prune}
	pending := map[string]secret.Secret{}
	var faults []catalog.Fault
	for i, spec := range a.in.Sources {
		old := state.Named(catalog.KindSource, spec.Owner, spec.Name)
		spec.Secrets = a.secrets(old, false, spec.Secrets, pending, &faults, "sources", i)
		set.Sources = append(set.Sources, spec)
	}
	for i, spec := range a.in.Subscriptions {
		old := state.Named(catalog.KindSubscription, spec.Owner, spec.Name)
		anew := false
		if old != nil {
			before, err := old.Subscription()
			anew = err != nil || elsewhere(before.URL, spec.URL)
		}
		spec.Secrets = a.secrets(old, anew, spec.Secrets, pending, &faults, "subscriptions", i)
		set.Subscriptions = append(set.Subscriptions, spec)
	}
	if len(faults) > 0 {
		return catalog.Changes{}, invalid(faults)
	}
	var changes catalog.Changes
	changes, a.differences = state.Plan(set, a.v.who, now)
	return changes, a.settle(changes, pending)
}

// secrets gives those that an entry of the set shall hold. One that cannot be sealed
// yet is a placeholder in pending.
func (a *applying) secrets(old *catalog.Entry, anew bool, texts []string, pending map[string]secret.Secret, faults *[]catalog.Fault, kind string, i int) []string {
	place := []string{"body", kind, strconv.Itoa(i), "secrets"}
	if old == nil {
		old = &catalog.Entry{}
	}
	vault := a.s.vault(a.v, old, secretsOf(old))
	vault.anew = anew
	if old.UID == "" {
		vault.later = pending
	}
	taken := vault.take(texts, place...)
	*faults = append(*faults, vault.faults...)
	return taken
}

// settle seals what could not be before its entry had an uid.
func (a *applying) settle(changes catalog.Changes, pending map[string]secret.Secret) error {
	if len(pending) == 0 {
		return nil
	}
	for _, e := range changes.Put {
		texts, sealed := secretsOf(e), false
		for i, text := range texts {
			value, ok := pending[text]
			if !ok {
				continue
			}
			b := a.s.vault(a.v, e, nil).at
			var err error
			if texts[i], err = a.s.o.Keyring.Seal(value, b); err != nil {
				return fmt.Errorf("seal a secret of %s: %w", e.Key(), err)
			}
			sealed = true
		}
		if sealed {
			if err := setSecrets(e, texts); err != nil {
				return err
			}
		}
	}
	return nil
}

// find notes where the entries of the request stand.
func (a *applying) find() {
	for i, spec := range a.in.Tenants {
		a.places[entryName{catalog.KindTenant, "", spec.Name}] = "body.tenants." + strconv.Itoa(i)
	}
	for i, spec := range a.in.Sources {
		a.places[entryName{catalog.KindSource, spec.Owner, spec.Name}] = "body.sources." + strconv.Itoa(i)
	}
	for i, spec := range a.in.Subscriptions {
		a.places[entryName{catalog.KindSubscription, spec.Owner, spec.Name}] = "body.subscriptions." + strconv.Itoa(i)
	}
}

// place is where an entry stands in the request; one that prune removes does not.
func (a *applying) place(e *catalog.Entry) string {
	if place, ok := a.places[entryName{e.Kind, e.Tenant, e.Name}]; ok {
		return place
	}
	return "body.prune." + string(e.Kind) + "." + strings.ReplaceAll(e.Name, ".", "_")
}

type resealOut struct{ Body Resealed }

// reseal seals all secrets anew, in one change. One that cannot be opened ends it: a
// key that was taken away would be missed for good afterwards.
func (s *Server) reseal(ctx context.Context, v *visit, _ *struct{}) (*resealOut, error) {
	if s.o.Keyring == nil {
		return nil, refuse(http.StatusConflict, "no_keyring", "this process has no keys to seal with: set %s (`causeway key generate` prints a key)", secret.KeysVariable)
	}
	out := &resealOut{}
	c := &changing{s: s, v: v, place: standing("body"), action: "reseal", minds: nothing, timeout: applyTimeout, plan: func(state *catalog.State) (catalog.Changes, error) {
		out.Body = Resealed{}
		return s.resealed(state, v, &out.Body)
	}}
	state, err := c.do(ctx)
	if err != nil {
		return nil, err
	}
	out.Body.Version = state.Version
	return out, nil
}

func (s *Server) resealed(state *catalog.State, v *visit, count *Resealed) (catalog.Changes, error) {
	var changes catalog.Changes
	p := refuse(http.StatusConflict, "cannot_open", "nothing was sealed anew, because some secrets cannot be opened: put the key that they were sealed under back into %s, or give them again", secret.KeysVariable)
	for _, kind := range []catalog.Kind{catalog.KindSource, catalog.KindSubscription} {
		for _, e := range state.Sorted(kind) {
			if e.Newer() {
				continue
			}
			next, err := s.resealEntry(e, v, count)
			switch {
			case err != nil && len(p.Errors) < 50:
				p.Errors = append(p.Errors, ProblemItem{Location: string(kind) + " " + e.Name, Message: err.Error()})
			case next != nil:
				changes.Put = append(changes.Put, next)
			}
		}
	}
	if len(p.Errors) > 0 {
		return catalog.Changes{}, p
	}
	return changes, nil
}

// resealEntry gives the entry with its secrets sealed anew; nil when they are so.
func (s *Server) resealEntry(e *catalog.Entry, v *visit, count *Resealed) (*catalog.Entry, error) {
	texts := secretsOf(e)
	var next *catalog.Entry
	for i, text := range texts {
		if !strings.HasPrefix(text, sealedScheme) {
			continue
		}
		sealed, changed, err := s.o.Keyring.Reseal(text, s.vault(v, e, nil).at)
		if err != nil {
			return nil, err
		}
		if !changed {
			count.Kept++
			continue
		}
		count.Resealed++
		if next == nil {
			next = touched(e, v)
		}
		texts[i] = sealed
		if until, ok := next.Retire[text]; ok {
			delete(next.Retire, text)
			next.Retire[sealed] = until
		}
	}
	if next == nil {
		return nil, nil //nolint:nilnil // there is nothing to change and nothing wrong
	}
	return next, setSecrets(next, texts)
}
