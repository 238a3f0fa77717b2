package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/krunbox/krunbox/internal/cache"
)

// snippets returns the blocks of a language in README and the documents, each with its place.
func snippets(t *testing.T, language string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(source + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range append(names, source+"/README.md", source+"/ARCHITECTURE.md", source+"/CONTRIBUTING.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```"+language+"\n")[1:] {
			code, _, ended := strings.Cut(block, "```")
			if !ended {
				t.Errorf("%s: a block of %s has no end", name, language)
			}
			found[fmt.Sprintf("%s, block %d", filepath.Base(name), i+1)] = code
		}
	}
	if len(found) == 0 {
		t.Errorf("no document has a block of %s", language)
	}
	return found
}

// indented is source text in a block that is not fenced, which the tests below would not see.
var indented = regexp.MustCompile(`(?m)^    (\w+(, \w+)* := |func |import |package |#include |\w+\(.*\);$)`)

func TestSnippetsAreFenced(t *testing.T) {
	names, err := filepath.Glob(source + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, source+"/README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if line := indented.Find(text); line != nil {
			t.Errorf("%s: %q is Go or C: fence its block with ```go or ```c", name, line)
		}
	}
}

// TestGoSnippets builds the documents' Go: statements of a host that has a configuration and
// parameters.
func TestGoSnippets(t *testing.T) {
	root, err := filepath.Abs(source)
	if err != nil {
		t.Fatal(err)
	}
	for place, code := range snippets(t, "go") {
		var text strings.Builder
		fmt.Fprintln(&text, "package snippet\n\nimport (")
		for name, path := range map[string]string{
			"os": "os", "runtime": "runtime",
			"guestinit": "github.com/krunbox/krunbox/pkg/guestinit",
		} {
			if strings.Contains(code, name+".") {
				fmt.Fprintf(&text, "%q\n", path)
			}
		}
		fmt.Fprintln(&text, `"github.com/krunbox/krunbox/pkg/bootparam"
"github.com/krunbox/krunbox/pkg/guestconfig"
)

func _(config guestconfig.Config, params bootparam.Params) {`)
		text.WriteString(code)
		for _, match := range regexp.MustCompile(`(?m)^(\w+), err :=`).FindAllStringSubmatch(code, -1) {
			fmt.Fprintf(&text, "_, _ = %s, err\n", match[1])
		}
		fmt.Fprintln(&text, "}")
		dir := t.TempDir()
		file, overlay := filepath.Join(dir, "snippet.go"), filepath.Join(dir, "overlay.json")
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		list, err := json.Marshal(map[string]any{"Replace": map[string]string{root + "/pkg/snippet/snippet.go": file}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(overlay, list, 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "./pkg/snippet")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v, %s\n%s", place, err, out, text.String())
		}
	}
}

// libkrun has those functions of libkrun.h (1.19) that the documents call.
const libkrun = `
typedef unsigned int uint32_t;
int krun_disable_implicit_init(uint32_t ctx_id);
int krun_set_root(uint32_t ctx_id, const char *root_path);
int krun_fs_add_overlay_file(uint32_t ctx_id, const char *fs_tag, const char *path,
	const unsigned char *data, unsigned long data_len, uint32_t mode, _Bool one_shot);
#define true 1
void snippet(uint32_t ctx, const unsigned char *data, unsigned long len) {
`

// TestCSnippets compiles the documents' C: statements of a host that has a context and a file.
func TestCSnippets(t *testing.T) {
	for place, code := range snippets(t, "c") {
		file := filepath.Join(t.TempDir(), "snippet.c")
		object := file + ".o" // /dev/null would be replaced by a file
		if err := os.WriteFile(file, []byte(libkrun+code+"}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-Wall", "-Werror", "-c", "-o", object, file}
		cmd := exec.CommandContext(t.Context(), "cc", args...)
		if cmd.Err != nil {
			var err error
			if cmd, err = cache.Command("compiler", "tcc", args...); err != nil {
				t.Skip(err) // deps.sh unpacks it, for root
			}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v, %s", place, err, out)
		}
	}
}
