// What the hardware can do: Euler-Maruyama ensembles in vector C++, with the Philox4x32-10 words that sgdyn uses.
//
//     g++ -std=gnu++17 -O3 -march=native -pthread limit.cpp -o limit
//     limit [B1|B2|B3|walls|moments|passage|SRA1 [double|single|float32 [THREADS [KEY_0 KEY_1]]]]
//
// Prints a JSON line for each case. The precision "double" is float64 with normals of 52 bits, "single" float64 with normals that are accurate
// to float32, "float32" is float32 throughout. Blocks of paths stay in the first-level cache; for each block and each group of steps there
// are three passes: words (philox.h), normals (normals.h), steps (problems.h). No result depends on the number of threads.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <thread>
#include <type_traits>
#include <vector>

#include "normals.h"
#include "philox.h"
#include "problems.h"
#include "watched.h"

constexpr int REPEATS = 5;

// Blocks `begin` to `end` of an ensemble; the last states go to out[path * COMPONENTS + component].
template <template <class, class> class Problem, class Real, class Normal>
void simulate(Key key, int begin, int end, double* out) {
    using P = Problem<Real, Normal>;
    constexpr bool NARROW = sizeof(Normal) == 4;
    constexpr int STEPS_A_DRAW = NARROW ? 4 : 2, D = P::COMPONENTS, BLOCK = P::BLOCK;
    using Word = std::conditional_t<NARROW, uint32_t, uint64_t>;

    const P problem;
    const Normal scale = Normal(P::scale());
    Philox<BLOCK> generator(key);
    alignas(64) Word words[STEPS_A_DRAW][BLOCK];
    alignas(64) Normal normals[STEPS_A_DRAW][D][BLOCK];
    alignas(64) Real buffers[2][D * BLOCK];

    for (int block = begin; block < end; block++) {
        const int first = block * BLOCK;
        generator.start(first, NARROW);
        Real *x = buffers[0], *other = buffers[1];
        for (int c = 0; c < D; c++) std::fill_n(x + c * BLOCK, BLOCK, Real(P::START[c]));
        for (int draw = 0; draw < P::STEPS / STEPS_A_DRAW; draw++) {
            for (int c = 0; c < D; c++) {
                generator.fill(draw, c, words);
                fill_normals(words, scale, normals[0][c], D * BLOCK);
            }
            for (int s = 0; s < STEPS_A_DRAW; s++) problem.step(x, other, normals[s][0]);
        }
        for (int p = 0; p < std::min(BLOCK, P::PATHS - first); p++)
            for (int c = 0; c < D; c++) out[(first + p) * D + c] = x[c * BLOCK + p];
    }
}

double seconds(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

template <template <class, class> class Problem, class Real, class Normal>
void report(const char* problem, const char* precision, int threads, Key key) {
    using P = Problem<Real, Normal>;
    const int blocks = (P::PATHS + P::BLOCK - 1) / P::BLOCK;
    std::vector<double> last(size_t(P::PATHS) * P::COMPONENTS), cpu, wall;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        const double cpu_start = seconds(CLOCK_PROCESS_CPUTIME_ID), wall_start = seconds(CLOCK_MONOTONIC);
        std::vector<std::thread> team;
        for (int t = 0; t < threads; t++)
            team.emplace_back(simulate<Problem, Real, Normal>, key, blocks * t / threads, blocks * (t + 1) / threads, last.data());
        for (auto& member : team) member.join();
        cpu.push_back(seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_start), wall.push_back(seconds(CLOCK_MONOTONIC) - wall_start);
    }
    double sum = 0, squares = 0;
    for (double x : last) sum += x, squares += x * x;
    const double nanoseconds = 1e9 / (double(P::PATHS) * P::STEPS);
    std::printf("{\"problem\": \"%s\", \"precision\": \"%s\", \"threads\": %d, \"paths\": %d, \"steps\": %d, \"cpu_ns\": %.4f, "
                "\"wall_ns\": %.4f, \"mean\": %.15g, \"second_moment\": %.15g}\n",
                problem, precision, threads, P::PATHS, P::STEPS, median(cpu) * nanoseconds, median(wall) * nanoseconds,
                sum / last.size(), squares / last.size());
    std::fflush(stdout);
}

template <template <class, class> class Problem>
int report_all(const char* problem, const char* precision, int threads, Key key) {
    const auto wanted = [&](const char* name) { return !precision || !std::strcmp(precision, name); };
    if (wanted("double")) report<Problem, double, double>(problem, "double", threads, key);
    if (wanted("single")) report<Problem, double, float>(problem, "single", threads, key);
    if (wanted("float32")) report<Problem, float, float>(problem, "float32", threads, key);
    return wanted("double") + wanted("single") + wanted("float32");
}

int main(int count, char** arguments) {
    const char *problem = count > 1 ? arguments[1] : nullptr, *precision = count > 2 ? arguments[2] : nullptr;
    const int threads = count > 3 ? std::atoi(arguments[3]) : 1;
    const auto number = [&](int i) { return uint32_t(std::strtoul(arguments[i], nullptr, 10)); };
    const Key key = count > 5 ? Key{number(4), number(5)} : Key{12345, 678};
    const auto wanted = [&](const char* name) { return !problem || !std::strcmp(problem, name); };
    int done = 0;
    if (threads > 0 && wanted("B1")) done += report_all<DoubleWell>("B1", precision, threads, key);
    if (threads > 0 && wanted("B2")) done += report_all<DenseLinear>("B2", precision, threads, key);
    if (threads > 0 && wanted("B3")) done += report_all<MullerBrown>("B3", precision, threads, key);
    if (threads > 0 && wanted("walls")) done += report_all<Walls>("walls", precision, threads, key);
    if (threads > 0 && wanted("moments")) done += report_all<Moments>("moments", precision, threads, key);
    if (threads > 0 && wanted("passage")) done += report_all<Passage>("passage", precision, threads, key);
    if (threads > 0 && wanted("SRA1")) done += report_all<Sra1>("SRA1", precision, threads, key);
    if (!done) std::fprintf(stderr, "usage: limit [B1|B2|B3|walls|moments|passage|SRA1 [double|single|float32 [THREADS [KEY_0 KEY_1]]]]\n");
    return done ? 0 : 2;
}
