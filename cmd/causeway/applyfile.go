package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"causeway/pkg/admin"
	"causeway/pkg/catalog"
	"causeway/pkg/secret"
)

// maxApply is what the API takes at once, and what one file may have.
const maxApply = 64 << 20

func applyLimits() limits { return limits{maxApply, 8_000_000} }

// applyForm is what a file for causeway apply may hold: the short form, or what a
// process file has of it.
type applyForm struct {
	Tenants       []catalog.TenantSpec       `json:"tenants,omitempty" doc:"Tenants."`
	Sources       []catalog.SourceSpec       `json:"sources,omitempty" doc:"Sources of webhooks."`
	Subscriptions []catalog.SubscriptionSpec `json:"subscriptions,omitempty" doc:"Who gets which events."`
	Ingress       applyIngress               `json:"ingress,omitempty" doc:"As in a process file."`
	Egress        applyEgress                `json:"egress,omitempty" doc:"As in a process file."`
}

type applyIngress struct {
	Sources []catalog.SourceSpec `json:"sources,omitempty" doc:"Sources of webhooks."`
}

type applyEgress struct {
	Subscriptions []catalog.SubscriptionSpec `json:"subscriptions,omitempty" doc:"Who gets which events."`
}

// applyPart is one document of a file.
type applyPart struct {
	*document
	file    string
	ignored []string // parts of a process file that are no business of apply
}

// origin is where an entry of the request was written down.
type origin struct {
	part *applyPart
	keys keys
}

// applyRequest is what the files say together, and where each entry of it stands.
type applyRequest struct {
	input   admin.ApplyInput
	parts   []*applyPart
	origins map[string][]origin // by the request's list
}

// add reads one file. What is wrong in it waits in err, so that all files' faults can join.
func (r *applyRequest) add(file string, text []byte) error {
	if len(text) > maxApply {
		return fmt.Errorf("%s is larger than %s, which is the most", file, byteSize(maxApply))
	}
	for line, doc := range documents(text) {
		part := &applyPart{document: readYAML(doc, applyLimits()), file: file}
		part.shift(line)
		r.parts = append(r.parts, part)
		if part.value == nil {
			continue // empty, or not YAML
		}
		if err := r.addPart(part); err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
	}
	return nil
}

// documents gives the YAML documents of a file with the number of lines before each.
// They are parsed one by one, which takes less memory: a line that begins with --- is
// the beginning of a document wherever it stands.
func documents(text []byte) func(func(int, []byte) bool) {
	return func(yield func(int, []byte) bool) {
		begin, begun, line := 0, 0, 0
		for at := 0; at < len(text); {
			end := at + bytes.IndexByte(text[at:], '\n') + 1
			if end == at {
				end = len(text)
			}
			if row := text[at:end]; at > begin && bytes.HasPrefix(row, []byte("---")) && (len(row) == 3 || strings.ContainsRune(" \t\r\n", rune(row[3]))) {
				if !yield(begun, text[begin:at]) {
					return
				}
				begin, begun = at, line
			}
			at, line = end, line+1
		}
		yield(begun, text[begin:])
	}
}

// shift moves everything down by the lines before the document.
func (d *document) shift(lines int) {
	if lines == 0 {
		return
	}
	for id, at := range d.places {
		at.line += lines
		d.places[id] = at
	}
	for i := range d.faults {
		if d.faults[i].at.line > 0 {
			d.faults[i].at.line += lines
		}
	}
}

// addPart checks a document and takes its entries.
func (r *applyRequest) addPart(p *applyPart) error {
	form := reflect.TypeFor[applyForm]()
	p.leaveOut()
	p.value = p.normalize(form, p.value, nil)
	if err := p.validate(form); err != nil {
		return err
	}
	p.checkSecrets()
	if len(p.faults) > 0 {
		return nil
	}
	text, err := json.Marshal(p.value)
	if err != nil {
		return err
	}
	p.value = nil // 100,000 entries once are enough
	var f applyForm
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	in := &r.input
	in.Tenants = append(in.Tenants, f.Tenants...)
	r.note("tenants", p, keys{"tenants"}, len(f.Tenants))
	in.Sources = append(append(in.Sources, f.Sources...), f.Ingress.Sources...)
	r.note("sources", p, keys{"sources"}, len(f.Sources))
	r.note("sources", p, keys{"ingress", "sources"}, len(f.Ingress.Sources))
	in.Subscriptions = append(append(in.Subscriptions, f.Subscriptions...), f.Egress.Subscriptions...)
	r.note("subscriptions", p, keys{"subscriptions"}, len(f.Subscriptions))
	r.note("subscriptions", p, keys{"egress", "subscriptions"}, len(f.Egress.Subscriptions))
	return nil
}

func (r *applyRequest) note(list string, p *applyPart, above keys, n int) {
	for i := range n {
		r.origins[list] = append(r.origins[list], origin{p, above.and(strconv.Itoa(i))})
	}
}

// leaveOut takes out what a process file has beside sources and subscriptions, and
// notes it. What is in neither form stays, to be found at fault.
func (p *applyPart) leaveOut() {
	top, ok := p.value.(map[string]any)
	if !ok {
		return
	}
	whole := reflect.TypeFor[config]()
	for name := range top {
		if name == "ingress" || name == "egress" {
			below, ok := top[name].(map[string]any)
			if !ok {
				continue
			}
			for inner := range below {
				if _, taken := map[string]bool{"ingress sources": true, "egress subscriptions": true}[name+" "+inner]; !taken && slices.Contains(settingsAt(whole, keys{name}), inner) {
					delete(below, inner)
					p.ignored = append(p.ignored, name+"."+inner)
				}
			}
			continue
		}
		if _, known := settingOf(whole, name); known {
			delete(top, name)
			p.ignored = append(p.ignored, name)
		}
	}
	slices.Sort(p.ignored)
}

// checkSecrets notes secrets that stand in the file themselves. Everything else about
// them is the API's to say.
func (p *applyPart) checkSecrets() {
	top, _ := p.value.(map[string]any)
	for _, above := range []keys{{"sources"}, {"subscriptions"}, {"ingress", "sources"}, {"egress", "subscriptions"}} {
		at := top
		for _, key := range above[:len(above)-1] {
			at, _ = at[key].(map[string]any)
		}
		list, _ := at[above[len(above)-1]].([]any)
		for i, item := range list {
			entry, _ := item.(map[string]any)
			secrets, _ := entry["secrets"].([]any)
			for j, text := range secrets {
				k := above.and(strconv.Itoa(i), "secrets", strconv.Itoa(j))
				if text, ok := text.(string); ok && !strings.HasPrefix(text, "sealed:") {
					if _, err := secret.ParseRef(text); err != nil {
						p.fault(k, p.place(k), "%v", err)
					}
				}
			}
		}
	}
}

// err is everything wrong with the files.
func (r *applyRequest) err() error {
	var errs []error
	for _, file := range r.files() {
		all := &configError{file: file}
		for _, p := range r.parts {
			if p.file == file {
				all.faults = append(all.faults, p.faults...)
			}
		}
		if len(all.faults) > 0 {
			errs = append(errs, all)
		}
	}
	return errors.Join(errs...)
}

func (r *applyRequest) files() []string {
	var files []string
	for _, p := range r.parts {
		if !slices.Contains(files, p.file) {
			files = append(files, p.file)
		}
	}
	return files
}

// ignored says in one line for each file what of it apply does not look at.
func (r *applyRequest) ignored() []string {
	var lines []string
	for _, file := range r.files() {
		var parts []string
		for _, p := range r.parts {
			if p.file == file {
				parts = append(parts, p.ignored...)
			}
		}
		if len(parts) > 0 {
			slices.Sort(parts)
			lines = append(lines, fmt.Sprintf("%s: not looked at, because it is about processes: %s", file, strings.Join(slices.Compact(parts), ", ")))
		}
	}
	return lines
}

// locate notes what the API found wrong where it was written down, and gives what is
// about no place in a file.
func (r *applyRequest) locate(items []admin.ProblemItem) (rest []admin.ProblemItem) {
	for _, item := range items {
		at, below, ok := r.find(item.Location)
		if !ok {
			rest = append(rest, item)
			continue
		}
		k := at.keys.and(below...)
		at.part.fault(k, at.part.place(k), "%s", item.Message)
	}
	return rest
}

// find gives the entry that a location like body.sources.3.url is about.
func (r *applyRequest) find(location string) (at origin, below keys, ok bool) {
	rest, ok := strings.CutPrefix(location, "body.")
	if !ok {
		return origin{}, nil, false
	}
	k := locationKeys(rest)
	if len(k) < 2 {
		return origin{}, nil, false
	}
	i, err := strconv.Atoi(k[1])
	list := r.origins[k[0]]
	if err != nil || i < 0 || i >= len(list) {
		return origin{}, nil, false
	}
	return list[i], k[2:], true
}

// seal takes every referenced secret from this machine, to be sealed by the API.
func (r *applyRequest) seal() {
	resolver := secret.NewResolver()
	lists := map[string]func(int) []string{
		"sources":       func(i int) []string { return r.input.Sources[i].Secrets },
		"subscriptions": func(i int) []string { return r.input.Subscriptions[i].Secrets },
	}
	for name, secrets := range lists {
		for i, at := range r.origins[name] {
			list := secrets(i)
			for j, text := range list {
				ref, err := secret.ParseRef(text)
				if err != nil {
					continue // sealed already
				}
				value, err := resolver.Resolve(ref)
				if err != nil {
					k := at.keys.and("secrets", strconv.Itoa(j))
					at.part.fault(k, at.part.place(k), "%v: with --seal it is read on this machine", err)
					continue
				}
				list[j] = "plain:" + string(value.Reveal())
			}
		}
	}
}

// sizes says what the files hold, for a message.
func (r *applyRequest) sizes() string {
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{{len(r.input.Tenants), "tenant"}, {len(r.input.Sources), "source"}, {len(r.input.Subscriptions), "subscription"}} {
		switch {
		case p.n == 1:
			parts = append(parts, "1 "+p.name)
		case p.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", p.n, p.name))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}
