package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"causeway/pkg/admin"
	"causeway/pkg/provider"
	"causeway/pkg/secret"
	"causeway/pkg/signature"
)

const (
	defaultData = "causeway-data"
	devFile     = "dev.yaml"
	receiverKey = "receiver" // in dev.yaml: what signs deliveries of causeway dev
	sealingKey  = "keys"     // the keyring under which secrets are sealed, unless CAUSEWAY_KEYS has one
)

// example is a source that causeway dev comes with.
type example struct{ name, provider string }

func examples() []example {
	return []example{{"stripe", "stripe"}, {"github", "github"}, {"demo", "standard-webhooks"}}
}

// devSecrets are the secrets that causeway dev has made: by the name of the
// example source, and the one that signs what it delivers.
type devSecrets map[string]secret.Secret

// readDevSecrets reads dev.yaml in the data directory. Its errors never quote
// the file.
func readDevSecrets(dir string) (devSecrets, error) {
	path := filepath.Join(dir, devFile)
	text, err := readAtMost(path, 64<<10)
	if err != nil {
		return nil, err
	}
	// One pair on each line, read without a YAML library on purpose: a secret
	// like 12e34 must not turn into a number, and docs/start.md cuts it out with sed.
	secrets := devSecrets{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ": ")
		if value = strings.Trim(value, ` "'`); !ok || value == "" {
			return nil, fmt.Errorf("%s is not what causeway dev writes, name: secret on each line; remove it to have it made again", path)
		}
		secrets[name] = secret.New([]byte(value))
	}
	return secrets, nil
}

// makeDevSecrets reads dev.yaml and makes what is missing in it, the directory
// too. Whoever starts a second time in the same directory finds the same secrets.
func makeDevSecrets(dir string) (devSecrets, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	secrets, err := readDevSecrets(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the secrets of causeway dev: %w", err)
	}
	if secrets == nil {
		secrets = devSecrets{}
	}
	made := false
	for _, ex := range append(examples(), example{receiverKey, "standard-webhooks"}) {
		if !secrets[ex.name].IsZero() {
			continue
		}
		preset, err := provider.New(ex.provider, provider.Settings{})
		if err != nil {
			return nil, fmt.Errorf("make a secret for %s: %w", ex.name, err)
		}
		secrets[ex.name], made = secret.New([]byte(preset.Generate())), true
	}
	if secrets[sealingKey].IsZero() {
		if secrets[sealingKey], err = secret.GenerateKey("dev"); err != nil {
			return nil, fmt.Errorf("make a key that seals: %w", err)
		}
		made = true
	}
	if secrets[devAPIKey].IsZero() {
		secrets[devAPIKey], made = admin.GenerateKey(), true
	}
	if !made {
		// Somebody may have copied the file here with other rights.
		if err := os.Chmod(filepath.Join(dir, devFile), 0o600); err != nil {
			return nil, fmt.Errorf("keep the secrets of causeway dev from others: %w", err)
		}
		return secrets, nil
	}
	if err := secrets.write(dir); err != nil {
		return nil, fmt.Errorf("keep the secrets of causeway dev: %w", err)
	}
	return secrets, nil
}

// write puts the file into its place in one step, so that a send or listen that
// reads at the same moment finds the old one or the new one.
func (s devSecrets) write(dir string) error {
	var b strings.Builder
	b.WriteString("# Secrets that causeway dev made: of its example sources, of what it delivers (receiver),\n# of its API (admin), and what seals the secrets in its catalog (keys). causeway's other\n# verbs find them here.\n")
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s: %s\n", name, s[name].Reveal())
	}
	f, err := os.CreateTemp(dir, devFile+".*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(b.String())
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, devFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// export lets references name the secrets: one that is at hand cannot be written
// into a source, a variable of this process can. It returns the references. The key
// that seals gets its own variable, unless that is set.
func (s devSecrets) export() (map[string]string, error) {
	refs := map[string]string{}
	for name, value := range s {
		switch {
		case name == devAPIKey, name == sealingKey && os.Getenv(secret.KeysVariable) != "":
			continue
		case name == sealingKey:
			if err := os.Setenv(secret.KeysVariable, string(value.Reveal())); err != nil {
				return nil, fmt.Errorf("name the sealing key: %w", err)
			}
			continue
		}
		variable := envPrefix + "DEV_SECRET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if err := os.Setenv(variable, string(value.Reveal())); err != nil {
			return nil, fmt.Errorf("name the secret of %s: %w", name, err)
		}
		refs[name] = "env:" + variable
	}
	return refs, nil
}

// standardKey decodes a secret that signs deliveries.
func standardKey(s secret.Secret) (*signature.Compiled, []signature.Key, error) {
	scheme, err := signature.Standard().Compile()
	if err != nil {
		return nil, nil, fmt.Errorf("compile the Standard Webhooks scheme: %w", err)
	}
	key, err := scheme.Key(s, false)
	if err != nil {
		return nil, nil, err
	}
	return scheme, []signature.Key{key}, nil
}

// resolveFlag resolves a reference that was given on the command line.
func resolveFlag(flag, text string) (secret.Secret, error) {
	ref, err := secret.ParseRef(text)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("%s: %w", flag, err)
	}
	return secret.NewResolver().Resolve(ref)
}
