package dist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A source is all that is linked into the binary for a platform.
type source struct {
	dir      string // of the module
	goroot   string
	release  string // of Go, such as go1.26.8
	packages []goPackage
}

// A goPackage is a package as "go list" reports it.
type goPackage struct {
	Name, ImportPath, Dir string
	GoFiles, Imports      []string
	Standard, DepOnly     bool
	Module                *goModule
}

// A goModule is the module of a package, nil for those of the standard library.
type goModule struct {
	Path, Version, Dir string
	Main               bool
	Replace            *goModule
}

// ownMain is the main package that the applets are put into, see package multicall.
const ownMain = "./multicall/krunbox"

func load(ctx context.Context, dir string, p Platform) (*source, error) {
	// What the user has set must not change what is found. A flag that changes nothing overrides flags of "go env -w".
	env := []string{
		"GOOS=" + p.GOOS, "GOARCH=" + p.GOARCH, "CGO_ENABLED=0", "GO111MODULE=on", "GOWORK=off", "GOFLAGS=-buildvcs=false",
	}
	out, err := run(ctx, dir, env, "go", "env", "-json", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	var goEnv struct{ GOROOT, GOVERSION string }
	if err := json.Unmarshal(out, &goEnv); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	release, _, _ := strings.Cut(goEnv.GOVERSION, "X:") // without the user's experiments
	s := &source{dir: dir, goroot: goEnv.GOROOT, release: strings.TrimRight(release, " -")}
	out, err = run(ctx, dir, env, "go", "list", "-deps", "-json=Name,ImportPath,Dir,GoFiles,Imports,Standard,DepOnly,Module", "--",
		"./cmds/...", ownMain)
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

// applets are the main packages that are linked in, sorted by name.
func (s *source) applets() []goPackage {
	return slices.DeleteFunc(slices.Clone(s.packages), func(p goPackage) bool {
		return p.DepOnly || p.Name != "main" || strings.HasSuffix(p.ImportPath, strings.TrimPrefix(ownMain, "."))
	})
}

// modules are those linked in, without krunbox's own, sorted by path.
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

// documents are README, our licence, and those of what is linked in.
func (s *source) documents() (tree, error) {
	var t tree
	copyFile := func(name, from string) error {
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		t = append(t, file{name: name, content: content})
		return nil
	}
	licences := func(name, dir string) error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("licence of %s: %w", name, err)
		}
		licensed := false
		for _, e := range entries {
			if e.IsDir() || !isLegal(e.Name()) {
				continue
			}
			licensed = licensed || !hasAnyPrefix(e.Name(), "PATENTS", "NOTICE")
			if err := copyFile("licenses/"+name+"/"+e.Name(), filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		if !licensed {
			return fmt.Errorf("licence of %s: no file LICENSE or COPYING in %s", name, dir)
		}
		return nil
	}
	for _, name := range []string{"README.md", "LICENSE"} {
		if err := copyFile(name, filepath.Join(s.dir, name)); err != nil {
			return nil, err
		}
	}
	if err := licences(s.release, s.goroot); err != nil {
		return nil, err
	}
	for _, m := range s.modules() {
		if err := licences(m.Path+"@"+m.Version, m.Dir); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// isLegal tells by its name whether a file is of those that go with every copy.
func isLegal(name string) bool {
	return hasAnyPrefix(name, "LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS")
}

func hasAnyPrefix(name string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(strings.ToUpper(name), prefix) })
}

// run executes a program, its environment this one's and env, and returns its standard output.
func run(ctx context.Context, dir string, env []string, program string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", program, args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}
