// SPDX-License-Identifier: Apache-2.0
#include "gateway/cli/chat_command.h"

#include <unistd.h>

#include <fstream>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/cli/chat_client.h"
#include "gateway/cli/command_line.h"
#include "gateway/cli/interrupt.h"
#include "gateway/cli/line_reader.h"

namespace sluice::gateway {
namespace {

const std::vector<OptionSpec>& Options() {
  static const auto* options = new std::vector<OptionSpec>{
      {"url", "URL", "The server's address. Default http://localhost:8000."},
      {"model", "NAME", "The model to ask. Default: the first one that the server lists."},
      {"prompt", "TEXT", "Ask this once, print the answer and leave."},
      {"system", "TEXT", "The system message of the conversation. Default: none."},
      {"thinking", "on|off", "Whether the model thinks first. Default: as the model does."},
      {"temperature", "X", "0 is greedy. Default: the model's."},
      {"top-p", "X", "In (0, 1]. Default: the model's."},
      {"seed", "N", "The same seed and conversation give the same answer."},
      {"max-tokens", "N", "Most tokens in one answer. Default: what the context leaves."},
      {"api-key", "KEY", "Sent as a bearer token. Default: the environment's SLUICE_API_KEY."},
      {"stats", "", "Print the time to the first token and tokens/s to standard error."},
      {"stats-file", "FILE", "Write them there too, one JSON object for each answer."},
      {"help", "", "Show this."},
  };
  return *options;
}

constexpr std::string_view kUsage =
    "Usage: sluice chat [OPTION]...\n"
    "Talks with a model in the terminal. Without a terminal on standard input, all of it is one\n"
    "prompt. Thinking is dimmed; where standard output is no terminal it goes to standard error, "
    "so\n"
    "that standard output holds the answer alone. Ctrl-C stops an answer, /exit leaves.\n\n";

constexpr std::string_view kCommands =
    "/clear          forget the conversation\n"
    "/think on|off   whether the model thinks before it answers (/think auto: as the model does)\n"
    "/system TEXT    set the system message (empty: none)\n"
    "/help           show this\n"
    "/exit           leave (so does Ctrl-D)\n"
    "A line that ends with a backslash goes on with the next one.\n";

// Below it, tokens/s are a matter of how the answer was read.
constexpr double kShortestRatedSeconds = 0.010;

struct ChatCommandLine {
  ChatOptions chat;
  std::optional<std::string> prompt;
  bool stats = false;
  std::string stats_file;
};

absl::StatusOr<std::optional<bool>> ParseThinking(std::string_view text) {
  if (text == "on") return std::optional<bool>(true);
  if (text == "off") return std::optional<bool>(false);
  if (text == "auto") return std::optional<bool>();
  return absl::InvalidArgumentError(
      absl::StrCat("thinking is on, off or auto, not '", std::string(text), "'"));
}

absl::StatusOr<ChatCommandLine> ReadCommandLine(const ParsedOptions& parsed,
                                                const std::string& api_key) {
  if (!parsed.positional.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument '", parsed.positional[0],
                     "'; a prompt is given as --prompt TEXT or on standard input"));
  }
  ChatCommandLine line;
  const auto url = ParseHttpUrl(parsed.Get("url", "http://localhost:8000"));
  if (!url.ok()) return url.status();
  line.chat.url = *url;
  line.chat.bearer_token = parsed.Get("api-key", api_key);
  line.chat.model = parsed.Get("model");
  line.chat.system_prompt = parsed.Get("system");
  const auto thinking = ParseThinking(parsed.Get("thinking", "auto"));
  if (!thinking.ok()) return thinking.status();
  line.chat.enable_thinking = *thinking;
  const auto temperature = NumberOption(parsed, "temperature");
  if (!temperature.ok()) return temperature.status();
  line.chat.temperature = *temperature;
  const auto top_p = NumberOption(parsed, "top-p");
  if (!top_p.ok()) return top_p.status();
  line.chat.top_p = *top_p;
  const auto seed = IntOption<uint64_t>(parsed, "seed");
  if (!seed.ok()) return seed.status();
  line.chat.seed = *seed;
  const auto max_tokens = IntOption<int>(parsed, "max-tokens");
  if (!max_tokens.ok()) return max_tokens.status();
  line.chat.max_tokens = *max_tokens;
  if (parsed.Has("prompt")) line.prompt = parsed.Get("prompt");
  line.stats = parsed.Has("stats");
  line.stats_file = parsed.Get("stats-file");
  return line;
}

// One conversation on the terminal.
class Conversation {
 public:
  Conversation(const ChatCommandLine& line, const Terminal& terminal, int interrupt_fd)
      : client_(line.chat),
        stats_(line.stats),
        stats_file_(line.stats_file),
        terminal_(terminal),
        interrupt_fd_(interrupt_fd) {}

  int RunOnce(const std::string& prompt) {
    if (int failed = Connect()) return failed;
    return Answer(prompt);
  }

  int RunInteractive() {
    if (int failed = Connect()) return failed;
    Print(absl::StrCat(std::string(terminal_.Dim()), "Talking with ", client_.model(),
                       ". Ctrl-C stops an answer; /help lists the commands; /exit leaves.",
                       std::string(terminal_.Reset()), "\n"));
    LineReader reader(STDIN_FILENO, interrupt_fd_);
    for (;;) {
      const std::optional<std::string> prompt = ReadPrompt(&reader);
      if (!prompt.has_value()) {
        Print("\n");
        return 0;
      }
      if (prompt->empty()) continue;
      if ((*prompt)[0] == '/') {
        if (!RunSlashCommand(*prompt)) return 0;
        continue;
      }
      Answer(*prompt);  // an error was printed; the next question may go better
    }
  }

 private:
  int Connect() {
    const absl::Status status = client_.Connect();
    if (status.ok()) return 0;
    PrintError(status);
    return 1;
  }

  // None at the end of input.
  std::optional<std::string> ReadPrompt(LineReader* reader) {
    std::string text;
    Print(absl::StrCat(std::string(terminal_.Bold()), "> ", std::string(terminal_.Reset())));
    for (;;) {
      LineReader::Line line = reader->Read();
      if (line.kind == LineReader::Kind::kEnd) return std::nullopt;
      if (line.kind == LineReader::Kind::kInterrupted) {
        Print("\n(/exit or Ctrl-D leaves)\n> ");
        text.clear();
        continue;
      }
      if (line.text.empty() || line.text.back() != '\\') return text + line.text;
      line.text.back() = '\n';
      text += line.text;
      Print("  ");
    }
  }

  // False when the user wants to leave.
  bool RunSlashCommand(const std::string& line) {
    const size_t space = std::min(line.find(' '), line.size());
    const std::string command = line.substr(0, space);
    const std::string argument = line.substr(std::min(space + 1, line.size()));
    if (command == "/exit" || command == "/quit") return false;
    if (command == "/clear") {
      client_.Clear();
      Print("The conversation starts anew.\n");
    } else if (command == "/think") {
      const auto thinking = ParseThinking(argument.empty() ? "on" : argument);
      if (thinking.ok()) {
        client_.set_enable_thinking(*thinking);
        Print(absl::StrCat("Thinking: ", argument.empty() ? "on" : argument, ".\n"));
      } else {
        PrintError(thinking.status());
      }
    } else if (command == "/system") {
      client_.set_system_prompt(argument);
      Print(argument.empty() ? "No system message.\n" : "The system message is set.\n");
    } else if (command == "/help") {
      Print(kCommands);
    } else {
      const std::string_view close =
          ClosestName(command, {"/exit", "/quit", "/clear", "/think", "/system", "/help"});
      Print(absl::StrCat("Unknown command ", command, ". ",
                         close.empty() ? "/help lists the commands."
                                       : absl::StrCat("Did you mean ", std::string(close), "?"),
                         "\n"));
    }
    return true;
  }

  // Streams one answer; the exit status that a single answer ends the program with.
  int Answer(const std::string& prompt) {
    std::optional<AnswerPart> last;
    bool ends_with_newline = true;
    const auto stats =
        client_.Ask(prompt, interrupt_fd_, [&](AnswerPart part, std::string_view piece) {
          PrintPiece(part, piece, last);
          last = part;
          ends_with_newline = piece.back() == '\n';
        });
    if (last == AnswerPart::kThinking) Print(terminal_.Reset());
    if (!ends_with_newline) PrintTo(OutputFor(*last), "\n");
    if (absl::IsCancelled(stats.status())) {
      DrainInterrupts(interrupt_fd_);
      PrintTo(STDERR_FILENO, "(stopped)\n");
      return 130;
    }
    if (!stats.ok()) {
      PrintError(stats.status());
      return 1;
    }
    if (stats_ || terminal_.stderr_is_tty) PrintStats(*stats);
    return stats_file_.empty() || WriteStats(*stats) ? 0 : 1;
  }

  int OutputFor(AnswerPart part) const {
    const bool apart = part == AnswerPart::kThinking && !terminal_.stdout_is_tty;
    return apart ? STDERR_FILENO : STDOUT_FILENO;
  }

  void PrintPiece(AnswerPart part, std::string_view piece, std::optional<AnswerPart> last) {
    const int fd = OutputFor(part);
    const bool to_tty = fd == STDOUT_FILENO ? terminal_.stdout_is_tty : terminal_.stderr_is_tty;
    if (last == AnswerPart::kThinking && part != last && !terminal_.stdout_is_tty) {
      PrintTo(STDERR_FILENO, "\n");  // the thinking's last line, which is not on our output
    }
    if (to_tty && part != last) {
      if (part == AnswerPart::kThinking) Print(terminal_.Dim());
      if (last == AnswerPart::kThinking) {
        Print(absl::StrCat(std::string(terminal_.Reset()), "\n\n"));
      }
    }
    PrintTo(fd, to_tty ? WithoutControls(piece) : std::string(piece));
  }

  // Of the tokens after the first, from its arrival to the end.
  static double TokensPerSecond(const AnswerStats& stats) {
    const double generating = stats.total.count() - stats.to_first_token.count();
    const bool known = generating > 0 && stats.completion_tokens > 1;
    return known ? (stats.completion_tokens - 1) / generating : 0;
  }

  void PrintStats(const AnswerStats& stats) {
    PrintTo(STDERR_FILENO,
            absl::StrFormat("%s[%d tokens, first after %.3f s, %.1f tokens/s, finish: %s]%s\n",
                            std::string(terminal_.Dim()), stats.completion_tokens,
                            stats.to_first_token.count(), TokensPerSecond(stats),
                            stats.finish_reason, std::string(terminal_.Reset())));
  }

  bool WriteStats(const AnswerStats& stats) {
    std::ofstream file(stats_file_, std::ios::app);
    file << absl::StrFormat(
        R"({"first_token_s": %.4f, "total_s": %.4f, "completion_tokens": %d, "tokens_per_s": %.2f})",
        stats.to_first_token.count(), stats.total.count(), stats.completion_tokens,
        TokensPerSecond(stats));
    file << std::endl;
    if (file) return true;
    PrintError(absl::UnavailableError(absl::StrCat("cannot write ", stats_file_)));
    return false;
  }

  void PrintError(const absl::Status& status) {
    PrintTo(STDERR_FILENO, absl::StrCat(std::string(terminal_.Red()), "sluice chat: ",
                                        status.message(), std::string(terminal_.Reset()), "\n"));
  }
  void Print(std::string_view text) { PrintTo(STDOUT_FILENO, text); }
  void PrintTo(int fd, std::string_view text) { WriteAll(fd, text); }

  ChatClient client_;
  const bool stats_;
  const std::string stats_file_;
  const Terminal terminal_;
  const int interrupt_fd_;
};

std::string ReadAllOfStdin() {
  std::string text;
  char buffer[4096];
  ssize_t got;
  while ((got = TEMP_FAILURE_RETRY(read(STDIN_FILENO, buffer, sizeof(buffer)))) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

int RunChat(const std::vector<std::string>& args, const Terminal& terminal,
            const std::string& api_key) {
  const auto parsed = ParseOptions(args, Options());
  if (parsed.ok() && parsed->Has("help")) {
    std::cout << kUsage << OptionsHelp(Options()) << "\nWhile talking:\n" << kCommands;
    return 0;
  }
  auto line = parsed.ok() ? ReadCommandLine(*parsed, api_key)
                          : absl::StatusOr<ChatCommandLine>(parsed.status());
  if (!line.ok()) {
    std::cerr << "sluice chat: " << line.status().message() << "\n";
    return 2;
  }
  if (!line->prompt.has_value() && !terminal.stdin_is_tty) line->prompt = ReadAllOfStdin();
  if (line->prompt.has_value() && line->prompt->empty()) {
    std::cerr << "sluice chat: the prompt is empty\n";
    return 2;
  }
  const std::optional<std::string> prompt = line->prompt;
  Conversation conversation(*line, terminal, MakeInterruptFd());
  return prompt.has_value() ? conversation.RunOnce(*prompt) : conversation.RunInteractive();
}

}  // namespace sluice::gateway
