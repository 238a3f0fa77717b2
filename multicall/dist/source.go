package dist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/krunbox/krunbox/internal/tool"
)

// A source is everything that is linked into the binary for a platform.
type source struct {
	platform Platform
	dir      string // root of the module
	goroot   string
	release  string // of Go, such as go1.26.8
	packages []goPackage
}

// A goPackage is a package, as "go list" reports it.
type goPackage struct {
	Name, ImportPath, Dir string
	GoFiles               []string
	DepOnly               bool
	Module                *goModule // nil for the standard library
}

// A goModule is a module, as "go list" reports it.
type goModule struct {
	Path, Version, Dir string
	Sum                string // hash in go.sum
	Main               bool
	Replace            *goModule
}

// ownMain is the main package of the binary; see package multicall.
const ownMain = "./multicall/krunbox"

// load lists the packages for a platform.
func load(ctx context.Context, dir string, p Platform) (*source, error) {
	// The user's settings must not matter. An empty GOFLAGS would not override the one of
	// "go env -w"; a flag without effect does.
	env := append(os.Environ(),
		"GOOS="+p.GOOS, "GOARCH="+p.GOARCH, "CGO_ENABLED=0",
		"GO111MODULE=on", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	out, err := tool.Run(ctx, dir, env, "go", "env", "-json", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	var goEnv struct{ GOROOT, GOVERSION string }
	if err := json.Unmarshal(out, &goEnv); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	release, _, _ := strings.Cut(goEnv.GOVERSION, "X:") // the user's experiments follow
	s := &source{
		platform: p, dir: dir, goroot: goEnv.GOROOT, release: strings.TrimRight(release, " -"),
	}
	out, err = tool.Run(ctx, dir, env, "go", "list", "-deps",
		"-json=Name,ImportPath,Dir,GoFiles,DepOnly,Module", "--", "./cmds/...", ownMain)
	if err != nil {
		return nil, err
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.Module != nil && p.Module.Replace != nil {
			p.Module = p.Module.Replace
		}
		s.packages = append(s.packages, p)
	}
}

// applets returns the main packages of the applets, sorted by name.
func (s *source) applets() []goPackage {
	return slices.DeleteFunc(slices.Clone(s.packages), func(p goPackage) bool {
		return p.DepOnly || p.Name != "main" ||
			strings.HasSuffix(p.ImportPath, strings.TrimPrefix(ownMain, "."))
	})
}

// modules returns the modules that are linked, without krunbox itself, sorted by path.
func (s *source) modules() []goModule {
	var modules []goModule
	for _, p := range s.packages {
		if p.Module != nil && !p.Module.Main && !slices.Contains(modules, *p.Module) {
			modules = append(modules, *p.Module)
		}
	}
	slices.SortFunc(modules, func(a, b goModule) int { return strings.Compare(a.Path, b.Path) })
	return modules
}

// moduleList returns the file MODULES, with path, version and hash of a module in each line. The
// hash is that of go.sum.
func (s *source) moduleList() ([]byte, error) {
	var list bytes.Buffer
	for _, m := range s.modules() {
		if m.Sum == "" {
			return nil, fmt.Errorf("module %s %s: no hash in go.sum", m.Path, m.Version)
		}
		fmt.Fprintln(&list, m.Path, m.Version, m.Sum)
	}
	return list.Bytes(), nil
}

// documents returns README, the pages that it leads to, our licence, the list of modules, and the licences of Go and of the
// modules.
func (s *source) documents() (tree, error) {
	modules, err := s.moduleList()
	if err != nil {
		return nil, err
	}
	t := tree{{name: "MODULES", content: modules}}
	pages, err := filepath.Glob(filepath.Join(s.dir, "docs", "*.md")) // README has links to them
	if err != nil {
		return nil, err
	}
	names := []string{"README.md", "LICENSE"}
	for _, page := range pages {
		names = append(names, "docs/"+filepath.Base(page))
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		t = append(t, file{name: name, content: content})
	}
	licensed := []goModule{{Path: s.release, Dir: s.goroot}}
	for _, m := range append(licensed, s.modules()...) {
		name := m.Path
		if m.Version != "" {
			name += "@" + m.Version
		}
		files, err := licences(m.Dir)
		if err != nil {
			return nil, fmt.Errorf("licence of %s: %w", name, err)
		}
		for _, f := range files {
			f.name = "licenses/" + name + "/" + f.name
			t = append(t, f)
		}
	}
	return t, nil
}

// licences returns the legal files in dir. It fails if there is no licence among them.
func licences(dir string) ([]file, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []file
	licensed := false
	for _, e := range entries {
		isLicence := hasAnyPrefix(e.Name(), "LICENSE", "LICENCE", "COPYING")
		if e.IsDir() || !isLicence && !hasAnyPrefix(e.Name(), "NOTICE", "PATENTS") {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		files = append(files, file{name: e.Name(), content: content})
		licensed = licensed || isLicence
	}
	if !licensed {
		return nil, fmt.Errorf("no file LICENSE or COPYING in %s", dir)
	}
	return files, nil
}

// hasAnyPrefix reports whether name begins with one of the prefixes, which are in upper case. The
// case of name does not matter.
func hasAnyPrefix(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return strings.HasPrefix(strings.ToUpper(name), prefix)
	})
}
