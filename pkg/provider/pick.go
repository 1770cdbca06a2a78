package provider

import "causeway/pkg/signature"

// ParsePick reads json:$.PATH, header:NAME or query:NAME, or several of them with
// " | " between alternatives, and gives the function that picks this value out of
// a request; the function gives "" where there is none.
func ParsePick(text string) (func(*signature.Message) string, error) {
	r, err := parseRule(text)
	if err != nil {
		return nil, err
	}
	return r.find, nil
}
