package dist

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A bill is a bill of materials, CycloneDX 1.5 in JSON.
type bill struct {
	Format     string       `json:"bomFormat"`
	Spec       string       `json:"specVersion"`
	Version    int          `json:"version"`
	Metadata   metadata     `json:"metadata"`
	Components []component  `json:"components"`
	Depend     []dependency `json:"dependencies"`
}

type metadata struct {
	Timestamp string    `json:"timestamp"`
	Component component `json:"component"`
}

type component struct {
	Ref     string `json:"bom-ref"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Hashes  []hash `json:"hashes,omitempty"`
	PURL    string `json:"purl"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type dependency struct {
	Ref       string   `json:"ref"`
	DependsOn []string `json:"dependsOn"`
}

// bill lists the modules that are linked in, and which of them imports which. The hash of a module is that of go.sum, which is
// a hash over the hashes of its files.
func (s *source) bill(opts *Options, binary []byte) ([]byte, error) {
	sumFile := filepath.Join(s.dir, "go.sum")
	sums, err := readSums(sumFile)
	if err != nil {
		return nil, err
	}
	product := newComponent("application", "github.com/krunbox/krunbox", opts.Version)
	digest := sha256.Sum256(binary)
	product.Hashes = []hash{{"SHA-256", hex.EncodeToString(digest[:])}}
	std := newComponent("library", "std", strings.TrimPrefix(s.release, "go"))

	b := bill{Format: "CycloneDX", Spec: "1.5", Version: 1, Components: []component{std}}
	b.Metadata = metadata{opts.Time.UTC().Format(time.RFC3339), product}
	for _, m := range s.modules() {
		c := newComponent("library", m.Path, m.Version)
		sum, ok := sums[m.Path+" "+m.Version]
		if !ok {
			return nil, fmt.Errorf("%s: no hash of %s %s", sumFile, m.Path, m.Version)
		}
		c.Hashes = []hash{{"SHA-256", sum}}
		b.Components = append(b.Components, c)
	}

	owner := map[string]string{} // import path: the component's reference
	for _, p := range s.packages {
		switch {
		case p.Module == nil:
			owner[p.ImportPath] = std.Ref
		case p.Module.Main:
			owner[p.ImportPath] = product.Ref
		default:
			owner[p.ImportPath] = newComponent("", p.Module.Path, p.Module.Version).Ref
		}
	}
	for _, c := range append([]component{product}, b.Components...) {
		d := dependency{c.Ref, []string{}}
		for _, p := range s.packages {
			for _, imported := range p.Imports {
				if to := owner[imported]; owner[p.ImportPath] == c.Ref && to != c.Ref && to != "" && !slices.Contains(d.DependsOn, to) {
					d.DependsOn = append(d.DependsOn, to)
				}
			}
		}
		slices.Sort(d.DependsOn)
		b.Depend = append(b.Depend, d)
	}
	text, err := json.MarshalIndent(b, "", "  ")
	return append(text, '\n'), err
}

// newComponent names a module by its package URL, in which a version's "+" is escaped.
func newComponent(kind, path, version string) component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Ref: url, Type: kind, Name: path, Version: version, PURL: url}
}

// readSums reads go.sum: module and version, a blank between them, to the hash in hexadecimal.
func readSums(name string) (map[string]string, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for line := range strings.Lines(string(content)) {
		module, text, _ := strings.Cut(strings.TrimSpace(line), " h1:")
		sum, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%s: %q is no line of it", name, line)
		}
		sums[module] = hex.EncodeToString(sum)
	}
	return sums, nil
}
