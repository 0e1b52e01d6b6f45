-- One headless Neovim session, from version 0.7 on: type, probe, close. What was seen goes to $GRADSENSE_RESULT.
local patience = 30000 -- milliseconds

-- Numbers that look random, the same in each run.
local state = 42
local function below(limit)
  state = (state * 1103515245 + 12345) % 2147483648
  return math.floor(state / 65536) % limit
end

local pieces = { 'bad_call()', '\n', 'x = "é😀"; ', '\n\n', '€', '\f', ' ', 'bad_call()\nbad_call()', "'😀'" }

-- Where each bad call is: line and column in bytes, as Neovim counts.
local function calls()
  local found = {}
  for number, line in ipairs(vim.api.nvim_buf_get_lines(0, 0, -1, true)) do
    for column in line:gmatch('()%f[%w_]bad_call%(%)') do
      table.insert(found, (number - 1) .. ':' .. (column - 1))
    end
  end
  return found
end

local function findings()
  local found = {}
  for _, diagnostic in ipairs(vim.diagnostic.get(0)) do
    table.insert(found, diagnostic.lnum .. ':' .. diagnostic.col)
  end
  return found
end

-- The start of a character of a line, in bytes.
local function column_in(line)
  return vim.str_byteindex(line, below(vim.str_utfindex(line) + 1))
end

local function type_something()
  local count = vim.api.nvim_buf_line_count(0)
  local row = below(count)
  local line = vim.api.nvim_buf_get_lines(0, row, row + 1, true)[1]
  local column = column_in(line)
  if below(4) > 0 then
    local piece = pieces[below(#pieces) + 1]
    vim.api.nvim_buf_set_text(0, row, column, row, column, vim.split(piece, '\n'))
    return
  end
  local last = math.min(row + below(3), count - 1)
  local last_line = vim.api.nvim_buf_get_lines(0, last, last + 1, true)[1]
  local last_column = last == row and #line or column_in(last_line)
  vim.api.nvim_buf_set_text(0, row, column, last, last_column, { '' })
end

local function run()
  local messages = {}
  vim.lsp.handlers['window/showMessage'] = function(_, result) table.insert(messages, result.message) end
  local id = vim.lsp.start_client({
    name = 'gradsense',
    cmd = vim.json.decode(vim.env.GRADSENSE_SERVER),
    root_dir = vim.fn.getcwd(),
    flags = { allow_incremental_sync = true, debounce_text_changes = 0 },
  })
  vim.lsp.buf_attach_client(0, id)
  local checked = 0
  for round = 1, 120 do
    type_something()
    if round % 10 == 0 then
      vim.api.nvim_buf_set_text(0, 0, 0, 0, 0, { 'bad_call()', '' })
      assert(vim.wait(patience, function() return vim.deep_equal(calls(), findings()) end, 5), vim.inspect({
        calls = calls(), findings = findings(), lines = vim.api.nvim_buf_get_lines(0, 0, -1, true),
      }))
      checked = checked + 1
    end
  end

  vim.api.nvim_buf_set_lines(0, 0, -1, true, { 'class Net:', '    x = 1' })
  local parameters = { textDocument = vim.lsp.util.make_text_document_params() }
  local lens = vim.lsp.buf_request_sync(0, 'textDocument/codeLens', parameters, patience)[id].result[1]
  vim.lsp.buf_request_sync(0, 'workspace/executeCommand', lens.command, patience)
  assert(vim.wait(patience, function() return #findings() == 1 and #messages == 1 end), 'no finding of the probe')

  vim.lsp.buf_detach_client(0, id)
  assert(vim.wait(patience, function() return #findings() == 0 end), 'findings stayed after the close')
  return { checked = checked, lens = lens.command.title, messages = messages }
end

local ran, seen = pcall(run)
local file = assert(io.open(vim.env.GRADSENSE_RESULT, 'w'))
file:write(vim.json.encode(ran and seen or { problem = tostring(seen) }))
file:close()
vim.cmd('qall!')
