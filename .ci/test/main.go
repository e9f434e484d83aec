// Command test runs every test of the repository, Go's and the pages', and ends with one line: "N passed, N failed".
//
//	go run ./.ci/test [-race] [package...]
//
// It prints a line a package, the output of what fails, and reasons of what is skipped. A test that has subtests is counted as those.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

func main() {
	var t tally
	flags, packages := split(os.Args[1:])
	t.goTests(append(append([]string{"test", "-json", "-count=1", "-timeout=25m"}, flags...), packages...))
	if !slices.Contains(flags, "-race") { // the pages' tests know no races
		t.pageTests("web")
	}
	if t.skipped > 0 {
		fmt.Println(t.skipped, "skipped")
	}
	summary := fmt.Sprintf("%d passed, %d failed\n", t.passed, t.failed)
	if file := os.Getenv("SUMMARY"); file != "" { // for those who print more after us
		if err := os.WriteFile(file, []byte(summary), 0o600); err != nil {
			fmt.Println(err)
			t.failed++
		}
	}
	fmt.Print(summary)
	if t.failed > 0 {
		os.Exit(1)
	}
}

func split(args []string) (flags, packages []string) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			flags = append(flags, a)
		} else {
			packages = append(packages, a)
		}
	}
	if len(packages) == 0 {
		packages = []string{"./..."}
	}
	return flags, packages
}

// tally counts.
type tally struct{ passed, failed, skipped int }

func (t *tally) add(passed, failed, skipped int) {
	t.passed += passed
	t.failed += failed
	t.skipped += skipped
}

// event is a line of `go test -json`: see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

// goRun is a `go test` under way.
type goRun struct {
	tally
	output  map[string]*strings.Builder // by package and test, until the test passed
	parents map[string]bool             // tests that have subtests
	broken  map[string]int              // failed tests of a package
}

func (t *tally) goTests(args []string) {
	fmt.Println("go", strings.Join(args, " "))
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Println("cannot run go test:", err)
		t.failed++
		return
	}
	r := goRun{output: map[string]*strings.Builder{}, parents: map[string]bool{}, broken: map[string]int{}}
	r.read(out)
	if err := cmd.Wait(); err != nil && r.failed == 0 {
		fmt.Println("go test:", err)
		r.failed++
	}
	t.add(r.passed, r.failed, r.skipped)
}

func (r *goRun) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Println(lines.Text())
			continue
		}
		r.take(e)
	}
}

func (r *goRun) take(e event) {
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "run":
		if i := strings.LastIndexByte(e.Test, '/'); i > 0 {
			r.parents[e.Package+" "+e.Test[:i]] = true
		}
	case "output", "build-output":
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
	case "pass", "fail", "skip":
		r.end(e, key)
	}
}

func (r *goRun) end(e event, key string) {
	if e.Test == "" {
		r.endPackage(e, key)
		return
	}
	switch {
	case e.Action == "fail":
		r.broken[e.Package]++
		fmt.Print(r.text(key))
		if !r.parents[key] {
			r.failed++
		}
	case r.parents[key]:
	case e.Action == "pass":
		r.passed++
	default:
		r.skipped++
		fmt.Print(r.text(key))
	}
	delete(r.output, key)
}

func (r *goRun) endPackage(e event, key string) {
	if e.Action == "fail" && r.broken[e.Package] == 0 { // did not build, panicked, or leaked
		r.failed++
		fmt.Print(r.text(e.FailedBuild+" "), r.text(key))
		r.unfinished(e.Package)
	}
	if e.Action != "skip" {
		fmt.Printf("%-4s  %6.1f s  %s\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Elapsed, e.Package)
	}
}

// unfinished prints what tests said that a crash cut off.
func (r *goRun) unfinished(pkg string) {
	for key := range r.output {
		if strings.HasPrefix(key, pkg+" ") && !strings.HasSuffix(key, " ") {
			fmt.Print(r.text(key))
		}
	}
}

func (r *goRun) text(key string) string {
	if b := r.output[key]; b != nil {
		return b.String()
	}
	return ""
}

// pageTests runs Vitest if the pages have tests.
func (t *tally) pageTests(dir string) {
	if _, err := os.Stat(dir + "/node_modules/.bin/vitest"); err != nil {
		return
	}
	report, err := os.CreateTemp("", "vitest-*.json")
	if err != nil {
		fmt.Println(err)
		t.failed++
		return
	}
	report.Close()
	defer os.Remove(report.Name())
	args := []string{"run", "--passWithNoTests", "--reporter=default", "--reporter=json", "--outputFile.json=" + report.Name()}
	fmt.Println("cd", dir, "&& npx vitest run")
	cmd := exec.Command("node_modules/.bin/vitest", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = dir, os.Stdout, os.Stderr, append(os.Environ(), "NO_COLOR=1")
	runErr := cmd.Run()
	var result struct {
		NumPassedTests, NumFailedTests, NumPendingTests int
	}
	text, err := os.ReadFile(report.Name())
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	t.add(result.NumPassedTests, result.NumFailedTests, result.NumPendingTests)
	if (err != nil || runErr != nil) && result.NumFailedTests == 0 {
		fmt.Println("vitest:", err, runErr)
		t.failed++
	}
}
